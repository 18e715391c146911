-- What happened, in an order in which it can be told: one row for each batch that
-- left something worth telling, naming the entries and notices, which tell the rest.
-- A batch that only holds credits writes none. Only what is added; the program
-- before this one works on, and what it writes is in no row here.
--
-- A position is drawn after the batch has locked its accounts, so one account's
-- positions are in the order of its ledger. They are not in the order of commits: a
-- reader goes no further than positions that nobody can still be about to commit
-- (see src/events/tail.rs).
CREATE TABLE feed (
    position           bigint      GENERATED ALWAYS AS IDENTITY,
    account_ids        text[]      NOT NULL,
    credit_types       text[]      NOT NULL,
    first_sequences    bigint[]    NOT NULL,
    last_sequences     bigint[]    NOT NULL,
    notice_account_ids text[]      NOT NULL,
    notice_keys        text[]      NOT NULL,
    create_time        timestamptz NOT NULL,
    CONSTRAINT feed_pkey PRIMARY KEY (position),
    CONSTRAINT feed_entries_check
        CHECK (cardinality(account_ids) = cardinality(credit_types)
           AND cardinality(account_ids) = cardinality(first_sequences)
           AND cardinality(account_ids) = cardinality(last_sequences)),
    CONSTRAINT feed_notices_check
        CHECK (cardinality(notice_account_ids) = cardinality(notice_keys))
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);

ALTER TABLE notices
    ADD COLUMN sequence  bigint,
    ADD COLUMN available bigint,
    ADD COLUMN detail    text NOT NULL DEFAULT '';
COMMENT ON COLUMN notices.kind IS
    '1 credit used, 2 low balance, 3 zero balance, 4 renewed, 5 topped up, 6 credit returned, 7 credit expired, 8 subscription ending, 9 payment reversed, 10 unbilled scan, 11 credit granted, 12 credit revoked';
COMMENT ON COLUMN notices.sequence IS 'the entry that it is about, in the ledger of credit_type; null for none';
COMMENT ON COLUMN notices.available IS 'available then; null where no balance is in question';
-- An account's events, the newest first.
CREATE INDEX notices_newest_idx ON notices (account_id COLLATE "ucs_basic", create_time);
