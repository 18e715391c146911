-- One cell: everything that a batch locks, reads and writes. Every key begins
-- with account_id. There are no foreign keys, triggers or sequences: each costs
-- as much as the movement itself, and none works across a distributed table.
--
-- A plan that is made on an empty table cannot tell a good index from a bad one:
-- all of them cost the same. So no two indexes may serve the same condition. The
-- keys compare account_id in collation "C"; the partial indexes and the list of
-- an account's reservations compare it in "POSIX" and "ucs_basic", which order
-- bytes just as "C" does but are other collations to the planner. A statement
-- says which index it means by the collation that it names, and, where a worker's
-- index of the same rows has no account, by the words of its condition.
--
-- fillfactor leaves room on the page for the next version of a row, so that an
-- update of a column without an index stays on its page (HOT).

-- The account row is locked first by every batch. `version` moves on with every
-- change of the row, and each update is guarded by the version that was read.
CREATE TABLE accounts (
    account_id        text COLLATE "C" NOT NULL,
    version           bigint           NOT NULL,
    held_scans        bigint           NOT NULL,
    subscriptions     bigint           NOT NULL,
    suspended         boolean          NOT NULL,
    suspension_reason text             NOT NULL,
    display_name      text             NOT NULL,
    billing_email     text             NOT NULL,
    create_time       timestamptz      NOT NULL,
    CONSTRAINT accounts_pkey PRIMARY KEY (account_id),
    CONSTRAINT accounts_held_scans_check CHECK (held_scans >= 0)
) WITH (fillfactor = 70);
COMMENT ON COLUMN accounts.held_scans IS
    'HELD reservations that hold no credits (free kinds, covered scans)';
COMMENT ON COLUMN accounts.subscriptions IS
    'revision of its subscriptions: moves on with every change of one, 0 before the first';

-- What an account has of one type of credit, and the head of its ledger.
CREATE TABLE balances (
    account_id      text COLLATE "C" NOT NULL,
    credit_type     text COLLATE "C" NOT NULL,
    available       bigint           NOT NULL,
    reserved        bigint           NOT NULL,
    spent           bigint           NOT NULL,
    held_scans      bigint           NOT NULL,
    sequence        bigint           NOT NULL,
    last_entry_time timestamptz      NOT NULL,
    last_hash       bytea            NOT NULL,
    CONSTRAINT balances_pkey PRIMARY KEY (account_id, credit_type),
    CONSTRAINT balances_available_check CHECK (available >= 0),
    CONSTRAINT balances_reserved_check CHECK (reserved >= 0),
    CONSTRAINT balances_spent_check CHECK (spent >= 0),
    CONSTRAINT balances_held_scans_check CHECK (held_scans >= 0),
    CONSTRAINT balances_sequence_check CHECK (sequence >= 0),
    CONSTRAINT balances_last_hash_check CHECK (octet_length(last_hash) = 32)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON COLUMN balances.held_scans IS 'HELD reservations that hold credits of this type';
COMMENT ON COLUMN balances.sequence IS 'guards every update: WHERE sequence = the one that was read';

-- Credits that came together and expire together. Only remaining, unrecovered
-- and is_open ever change.
CREATE TABLE lots (
    account_id  text COLLATE "C" NOT NULL,
    lot_id      uuid             NOT NULL,
    credit_type text COLLATE "C" NOT NULL,
    source      smallint         NOT NULL,
    is_open     boolean          NOT NULL,
    credits     bigint           NOT NULL,
    remaining   bigint           NOT NULL,
    unrecovered bigint           NOT NULL,
    expire_time timestamptz,
    create_time timestamptz      NOT NULL,
    reference   text             NOT NULL,
    CONSTRAINT lots_pkey PRIMARY KEY (account_id, lot_id),
    CONSTRAINT lots_credits_check CHECK (credits >= 1),
    CONSTRAINT lots_remaining_check CHECK (remaining >= 0 AND remaining <= credits),
    CONSTRAINT lots_unrecovered_check CHECK (unrecovered >= 0 AND unrecovered <= credits),
    CONSTRAINT lots_is_open_check CHECK (is_open = (remaining > 0))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON COLUMN lots.is_open IS
    'remaining > 0; a column of its own, so that spending some leaves the indexes alone';
-- The lots that a batch reads: an account's empty ones pile up for years.
CREATE INDEX lots_open_idx ON lots (account_id COLLATE "POSIX") WHERE is_open;
-- The lots that a worker expires on accounts that nobody calls for.
CREATE INDEX lots_due_idx ON lots (expire_time) WHERE is_open AND expire_time IS NOT NULL;

-- A hold for one scan attempt, named by its caller.
-- state: 1 HELD, 2 COMMITTED, 3 RELEASED, 4 EXPIRED, 5 REFUNDED.
CREATE TABLE reservations (
    account_id        text COLLATE "C" NOT NULL,
    reservation_id    text COLLATE "C" NOT NULL,
    project_id        text COLLATE "C",
    scan_kind         text COLLATE "C" NOT NULL,
    credit_type       text COLLATE "C",
    state             smallint         NOT NULL,
    release_cause     smallint,
    late              boolean          NOT NULL,
    credits           bigint           NOT NULL,
    committed_credits bigint           NOT NULL,
    sent_credits      bigint           NOT NULL,
    sent_lease_micros bigint,
    create_time       timestamptz      NOT NULL,
    expire_time       timestamptz      NOT NULL,
    settle_time       timestamptz,
    labels            jsonb,
    lot_ids           uuid[]           NOT NULL,
    lot_credits       bigint[]         NOT NULL,
    entries           bigint[]         NOT NULL,
    CONSTRAINT reservations_pkey PRIMARY KEY (account_id, reservation_id),
    CONSTRAINT reservations_state_check CHECK (state BETWEEN 1 AND 5),
    CONSTRAINT reservations_settle_time_check CHECK ((state = 1) = (settle_time IS NULL)),
    CONSTRAINT reservations_credits_check CHECK (credits >= 0),
    CONSTRAINT reservations_committed_check
        CHECK (committed_credits >= 0 AND committed_credits <= credits),
    CONSTRAINT reservations_lots_check CHECK (cardinality(lot_ids) = cardinality(lot_credits))
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON COLUMN reservations.sent_credits IS 'as the caller sent it: what a retry is compared with';
COMMENT ON COLUMN reservations.sent_lease_micros IS 'as the caller sent it; null where it sent none';
COMMENT ON COLUMN reservations.entries IS 'sequences of its ledger entries, in the ledger of credit_type';
-- ListReservations of one account, the newest first.
CREATE INDEX reservations_newest_idx
    ON reservations (account_id COLLATE "ucs_basic", create_time);
-- The reaper, and ListReservations of all that are held.
CREATE INDEX reservations_lease_idx ON reservations (expire_time) WHERE state = 1;
-- What a block names as holding, and the slots of a project. Of state = 1 and
-- settle_time IS NULL one implies the other, but not to the planner: a statement
-- that says the one is never planned on the index that says the other.
CREATE INDEX reservations_held_idx
    ON reservations (account_id COLLATE "POSIX", project_id, expire_time)
 WHERE settle_time IS NULL;

-- The ledger. Rows are only ever inserted; the serving role has no right to
-- change one. kind: 1 GRANT, 2 RESERVE, 3 COMMIT, 4 RESTORE, 5 LEASE_EXPIRE,
-- 6 REFUND, 7 LOT_EXPIRE, 8 REVOKE, 9 LATE_COMMIT.
CREATE TABLE ledger_entries (
    account_id      text COLLATE "C" NOT NULL,
    credit_type     text COLLATE "C" NOT NULL,
    sequence        bigint           NOT NULL,
    kind            smallint         NOT NULL,
    hash_version    smallint         NOT NULL,
    credits         bigint           NOT NULL,
    available_after bigint           NOT NULL,
    reserved_after  bigint           NOT NULL,
    spent_after     bigint           NOT NULL,
    create_time     timestamptz      NOT NULL,
    reservation_id  text COLLATE "C",
    reference       text             NOT NULL,
    actor           text             NOT NULL,
    hash            bytea            NOT NULL,
    lot_ids         uuid[]           NOT NULL,
    lot_credits     bigint[]         NOT NULL,
    CONSTRAINT ledger_entries_pkey PRIMARY KEY (account_id, credit_type, sequence),
    CONSTRAINT ledger_entries_kind_check CHECK (kind BETWEEN 1 AND 9),
    CONSTRAINT ledger_entries_credits_check CHECK (credits >= 1),
    CONSTRAINT ledger_entries_after_check
        CHECK (available_after >= 0 AND reserved_after >= 0 AND spent_after >= 0),
    CONSTRAINT ledger_entries_lots_check CHECK (cardinality(lot_ids) = cardinality(lot_credits)),
    CONSTRAINT ledger_entries_hash_check CHECK (octet_length(hash) = 32)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);

-- Credits that came or went outside a scan, once for each key.
-- kind: 1 grant, 2 revocation, 3 top-up, 4 billing period.
CREATE TABLE operations (
    account_id   text COLLATE "C" NOT NULL,
    kind         smallint         NOT NULL,
    operation_id text COLLATE "C" NOT NULL,
    credit_type  text COLLATE "C" NOT NULL,
    credits      bigint           NOT NULL,
    expire_time  timestamptz,
    reason       text             NOT NULL,
    lot_id       uuid,
    sequence     bigint           NOT NULL,
    create_time  timestamptz      NOT NULL,
    CONSTRAINT operations_pkey PRIMARY KEY (account_id, kind, operation_id)
);

-- The projects of an account: here, beside the balance, it is decided whether
-- a project is the account's.
CREATE TABLE projects (
    account_id  text COLLATE "C" NOT NULL,
    project_id  text COLLATE "C" NOT NULL,
    create_time timestamptz      NOT NULL,
    CONSTRAINT projects_pkey PRIMARY KEY (account_id, project_id)
);

-- status: 1 TRIALING, 2 ACTIVE, 3 PAST_DUE, 4 PAUSED, 5 CANCELED.
-- billing_interval: 1 month, 2 year.
CREATE TABLE subscriptions (
    account_id           text COLLATE "C" NOT NULL,
    subscription_id      text COLLATE "C" NOT NULL,
    plan                 text COLLATE "C" NOT NULL,
    status               smallint         NOT NULL,
    billing_interval     smallint         NOT NULL,
    provider             text             NOT NULL,
    anchor_time          timestamptz      NOT NULL,
    period_start_time    timestamptz      NOT NULL,
    period_end_time      timestamptz      NOT NULL,
    cancel_at_period_end boolean          NOT NULL,
    create_time          timestamptz      NOT NULL,
    end_time             timestamptz,
    CONSTRAINT subscriptions_pkey PRIMARY KEY (account_id, subscription_id),
    CONSTRAINT subscriptions_status_check CHECK (status BETWEEN 1 AND 5),
    CONSTRAINT subscriptions_period_check CHECK (period_end_time > period_start_time),
    CONSTRAINT subscriptions_end_time_check CHECK ((status = 5) = (end_time IS NOT NULL))
);
COMMENT ON COLUMN subscriptions.anchor_time IS 'when it began: renewals keep to its day of the month';
-- For workers. A batch asks for end_time IS NULL instead, which is the same and
-- leaves it the primary key only.
CREATE INDEX subscriptions_period_end_idx ON subscriptions (period_end_time) WHERE status <> 5;

-- Purchases. status: 1 PENDING, 2 CONFIRMED, 3 FAILED, 4 EXPIRED, 5 REFUNDED,
-- 6 DISPUTED.
CREATE TABLE top_ups (
    account_id         text COLLATE "C" NOT NULL,
    top_up_id          text COLLATE "C" NOT NULL,
    credit_type        text COLLATE "C" NOT NULL,
    credits            bigint           NOT NULL,
    price_minor        bigint           NOT NULL,
    currency           text             NOT NULL,
    status             smallint         NOT NULL,
    provider           text             NOT NULL,
    provider_reference text             NOT NULL,
    create_time        timestamptz      NOT NULL,
    expire_time        timestamptz      NOT NULL,
    settle_time        timestamptz,
    CONSTRAINT top_ups_pkey PRIMARY KEY (account_id, top_up_id),
    CONSTRAINT top_ups_status_check CHECK (status BETWEEN 1 AND 6),
    CONSTRAINT top_ups_credits_check CHECK (credits >= 1),
    CONSTRAINT top_ups_price_check CHECK (price_minor >= 0)
);
COMMENT ON COLUMN top_ups.expire_time IS 'until when a pending payment is waited for';
CREATE INDEX top_ups_pending_idx
    ON top_ups (account_id COLLATE "POSIX", create_time) WHERE status = 1;

-- What is worth telling and has no ledger entry, once for each key.
CREATE TABLE notices (
    account_id  text COLLATE "C" NOT NULL,
    notice_key  text COLLATE "C" NOT NULL,
    kind        smallint         NOT NULL,
    credit_type text COLLATE "C",
    credits     bigint           NOT NULL,
    subject     text             NOT NULL,
    create_time timestamptz      NOT NULL,
    CONSTRAINT notices_pkey PRIMARY KEY (account_id, notice_key)
);
COMMENT ON COLUMN notices.kind IS 'a number of the wire''s EventKind';

-- The catalogs that hold here: the highest revision decides.
CREATE TABLE catalogs (
    revision    bigint      NOT NULL,
    document    jsonb       NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT catalogs_pkey PRIMARY KEY (revision)
);
