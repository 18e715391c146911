-- The rows that a batch writes, each as it travels: an array of one of these types is
-- unnested as rows, where an array for each column is a tuple store for each, which is
-- most of what starting the statement takes (PERFORMANCE.md). Only what is added; the
-- program before this one works on. A type is never altered: a program of before sends
-- the fields that it knows, and PostgreSQL takes exactly those of the type. What needs
-- another field is a new type.

-- An account that a batch was decided on without a read.
CREATE TYPE known_account AS (
    account_id text,
    version    bigint
);

-- A project that has to be an account's.
CREATE TYPE known_project AS (
    account_id text,
    project_id text
);

-- `expected`: the sequence that was read; 0 for a balance that begins.
CREATE TYPE written_balance AS (
    account_id      text,
    credit_type     text,
    expected        bigint,
    available       bigint,
    reserved        bigint,
    spent           bigint,
    held_scans      bigint,
    sequence        bigint,
    last_entry_time timestamptz,
    last_hash       bytea
);

CREATE TYPE changed_lot AS (
    account_id           text,
    lot_id               uuid,
    expected_remaining   bigint,
    expected_unrecovered bigint,
    remaining            bigint,
    unrecovered          bigint
);

CREATE TYPE new_reservation AS (
    account_id        text,
    reservation_id    text,
    project_id        text,
    scan_kind         text,
    credit_type       text,
    state             smallint,
    release_cause     smallint,
    late              boolean,
    credits           bigint,
    committed_credits bigint,
    sent_credits      bigint,
    sent_lease_micros bigint,
    create_time       timestamptz,
    expire_time       timestamptz,
    settle_time       timestamptz,
    labels            jsonb,
    lot_ids           uuid[],
    lot_credits       bigint[],
    entries           bigint[]
);

CREATE TYPE changed_reservation AS (
    account_id           text,
    reservation_id       text,
    expected_state       smallint,
    expected_expire_time timestamptz,
    state                smallint,
    release_cause        smallint,
    late                 boolean,
    committed_credits    bigint,
    expire_time          timestamptz,
    settle_time          timestamptz,
    lot_ids              uuid[],
    lot_credits          bigint[],
    entries              bigint[]
);

CREATE TYPE new_entry AS (
    account_id      text,
    credit_type     text,
    sequence        bigint,
    kind            smallint,
    hash_version    smallint,
    credits         bigint,
    available_after bigint,
    reserved_after  bigint,
    spent_after     bigint,
    create_time     timestamptz,
    reservation_id  text,
    reference       text,
    actor           text,
    hash            bytea,
    lot_ids         uuid[],
    lot_credits     bigint[]
);

-- Ends a statement, and the transaction with it, where a guard of it did not hold: so a
-- batch that is one statement needs no second message to be rolled back. It is called
-- for nothing else, and never returns.
CREATE FUNCTION refuse(why text) RETURNS timestamptz LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', why USING ERRCODE = 'serialization_failure';
END
$$;
