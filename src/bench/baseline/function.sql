-- What the gate does for one Reserve, as one PL/pgSQL function: idempotency,
-- verdict, burn order, the same rows, the same hash. One call is one transaction
-- in one round trip, and nothing of it is planned twice in a session.

-- The parts of the canonical form (ARCHITECTURE.md, "The hash chain"). STABLE, as
-- what they consist of: otherwise they are called, and not inlined.
CREATE FUNCTION bench_text(value text) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN int8send(octet_length(value)) || convert_to(value, 'UTF8');

CREATE FUNCTION bench_time(value timestamptz) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN int8send(coalesce((extract(epoch FROM value) * 1000000)::bigint,
                             -9223372036854775808));

CREATE FUNCTION bench_reserve(
    p_account_id text, p_reservation_id text, p_scan_kind text, p_credit_type text,
    p_credits bigint, p_lease interval, p_actor text,
    OUT verdict text, OUT available bigint, OUT reserved bigint)
    LANGUAGE plpgsql
AS $$
DECLARE
    v_now       timestamptz;
    v_balance   balances%ROWTYPE;
    v_made      record;
    v_lot       record;
    v_left      bigint := p_credits;
    v_taken     bigint;
    v_lot_ids   uuid[] := '{}';
    v_credits   bigint[] := '{}';
    v_portions  bytea := '';
    v_form      bytea;
    v_hash      bytea;
BEGIN
    SELECT * INTO v_balance FROM balances b
     WHERE b.account_id = p_account_id AND b.credit_type = p_credit_type
       FOR UPDATE;
    IF NOT FOUND THEN
        verdict := 'CREDIT_REQUIRED';
        RETURN;
    END IF;
    -- In a later statement: one that waited for a lock sees the other tables as
    -- they were before the wait.
    SELECT a.suspended, r.state, r.scan_kind, r.sent_credits INTO v_made
      FROM accounts a
      LEFT JOIN reservations r
        ON r.account_id = p_account_id AND r.reservation_id = p_reservation_id
     WHERE a.account_id = p_account_id;
    available := v_balance.available;
    reserved := v_balance.reserved;
    IF v_made.state IS NOT NULL THEN
        IF v_made.scan_kind <> p_scan_kind OR v_made.sent_credits <> 0 THEN
            RAISE EXCEPTION 'RESERVATION_ID_REUSED';
        ELSIF v_made.state <> 1 THEN
            RAISE EXCEPTION 'RESERVATION_SETTLED';
        END IF;
        verdict := 'REPLAYED';
        RETURN;
    ELSIF v_made.suspended THEN
        verdict := 'ACCOUNT_SUSPENDED';
        RETURN;
    ELSIF v_balance.available < p_credits THEN
        verdict := 'EXHAUSTED';
        RETURN;
    END IF;

    v_now := greatest(clock_timestamp(), v_balance.last_entry_time);
    FOR v_lot IN
        SELECT l.lot_id, l.source, l.credits, l.remaining, l.expire_time, l.create_time,
               l.reference, l.origin_lot_id
          FROM lots l
         WHERE l.account_id COLLATE "POSIX" = p_account_id AND l.is_open
           AND l.credit_type = p_credit_type
         ORDER BY l.expire_time NULLS LAST, l.create_time, l.lot_id
    LOOP
        IF v_lot.expire_time <= v_now THEN
            RAISE EXCEPTION 'a lot has expired: this baseline does not apply what is due';
        END IF;
        EXIT WHEN v_left = 0;
        v_taken := least(v_lot.remaining, v_left);
        v_left := v_left - v_taken;
        v_lot_ids := v_lot_ids || v_lot.lot_id;
        v_credits := v_credits || v_taken;
        v_portions := v_portions || uuid_send(v_lot.lot_id) || int8send(v_taken)
            || int8send(v_lot.source) || int8send(v_lot.credits)
            || bench_time(v_lot.expire_time) || bench_time(v_lot.create_time)
            || bench_text(v_lot.reference)
            || uuid_send(coalesce(v_lot.origin_lot_id, '00000000-0000-0000-0000-000000000000'));
        UPDATE lots l
           SET remaining = l.remaining - v_taken, is_open = l.remaining > v_taken
         WHERE l.account_id = p_account_id AND l.lot_id = v_lot.lot_id;
    END LOOP;

    available := v_balance.available - p_credits;
    reserved := v_balance.reserved + p_credits;
    v_form := v_balance.last_hash || bench_text(p_account_id) || bench_text(p_credit_type)
        || int8send(v_balance.sequence + 1) || int8send(2) || int8send(p_credits)
        || int8send(available) || int8send(reserved) || int8send(v_balance.spent)
        || bench_text(p_reservation_id) || bench_text(p_scan_kind) || bench_text(p_actor)
        || bench_time(v_now) || int8send(cardinality(v_lot_ids)) || v_portions;
    v_hash := sha256(v_form);

    UPDATE balances b
       SET available = bench_reserve.available, reserved = bench_reserve.reserved,
           held_scans = b.held_scans + 1, sequence = b.sequence + 1,
           last_entry_time = v_now, last_hash = v_hash
     WHERE b.account_id = p_account_id AND b.credit_type = p_credit_type;
    INSERT INTO reservations (
           account_id, reservation_id, project_id, scan_kind, credit_type, state,
           release_cause, late, credits, committed_credits, sent_credits, sent_lease_micros,
           create_time, expire_time, settle_time, labels, lot_ids, lot_credits, entries)
    VALUES (p_account_id, p_reservation_id, NULL, p_scan_kind, p_credit_type, 1,
            NULL, false, p_credits, 0, 0, NULL,
            v_now, v_now + p_lease, NULL, NULL, v_lot_ids, v_credits,
            ARRAY[v_balance.sequence + 1]);
    INSERT INTO ledger_entries (
           account_id, credit_type, sequence, kind, hash_version, credits, available_after,
           reserved_after, spent_after, create_time, reservation_id, reference, actor, hash,
           lot_ids, lot_credits)
    VALUES (p_account_id, p_credit_type, v_balance.sequence + 1, 2, 2, p_credits, available,
            reserved, v_balance.spent, v_now, p_reservation_id, p_scan_kind, p_actor, v_hash,
            v_lot_ids, v_credits);
    verdict := 'HELD';
END
$$;
