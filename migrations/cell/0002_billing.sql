-- Subscriptions and purchases as they are carried on: by this service itself, and
-- by what a payment provider reports. Only what is added; the program before this
-- one works on.
--
-- The ids of a provider are its own choice: up to 128 printable characters.

ALTER TABLE accounts ADD COLUMN lapse_time timestamptz;
COMMENT ON COLUMN accounts.lapse_time IS
    'when all its credits lapsed with its last subscription: lots made up to then count as expired';

ALTER TABLE subscriptions
    ADD COLUMN sent          jsonb,
    ADD COLUMN provider_time timestamptz;
COMMENT ON COLUMN subscriptions.sent IS
    'as the caller started it: what a retry is compared with; null where a provider keeps it';
COMMENT ON COLUMN subscriptions.provider_time IS 'when its provider last said how it stands';

ALTER TABLE top_ups
    ADD COLUMN reason text NOT NULL DEFAULT '',
    ADD CONSTRAINT top_ups_settle_time_check CHECK ((status = 1) = (settle_time IS NULL));
COMMENT ON COLUMN top_ups.reason IS 'why it failed; else empty';
-- For the worker that gives up waiting. Of settle_time IS NULL and status = 1 one
-- implies the other, but not to the planner: see reservations.
CREATE INDEX top_ups_expiry_idx ON top_ups (expire_time) WHERE settle_time IS NULL;
-- ListTopUps, the newest first.
CREATE INDEX top_ups_newest_idx ON top_ups (account_id COLLATE "ucs_basic", create_time);

COMMENT ON COLUMN operations.kind IS
    '1 grant, 2 revocation, 3 top-up, 4 billing period, 5 reversal, 6 reinstatement';

-- Payments that have been completed.
CREATE TABLE transactions (
    account_id     text COLLATE "C" NOT NULL,
    provider       text COLLATE "C" NOT NULL,
    transaction_id text COLLATE "C" NOT NULL,
    complete_time  timestamptz      NOT NULL,
    CONSTRAINT transactions_pkey PRIMARY KEY (account_id, provider, transaction_id)
);

-- Credits that a line of such a payment brought: what is taken back when the
-- payment goes back. A plan may bring several types. Only reversed_credits ever
-- changes. operation_kind: as in operations.
CREATE TABLE purchases (
    account_id       text COLLATE "C" NOT NULL,
    provider         text COLLATE "C" NOT NULL,
    transaction_id   text COLLATE "C" NOT NULL,
    item_id          text COLLATE "C" NOT NULL,
    credit_type      text COLLATE "C" NOT NULL,
    operation_kind   smallint         NOT NULL,
    operation_id     text COLLATE "C" NOT NULL,
    lot_id           uuid             NOT NULL,
    credits          bigint           NOT NULL,
    paid_minor       bigint           NOT NULL,
    reversed_credits bigint           NOT NULL,
    CONSTRAINT purchases_pkey
        PRIMARY KEY (account_id, provider, transaction_id, item_id, credit_type),
    CONSTRAINT purchases_credits_check CHECK (credits >= 1),
    CONSTRAINT purchases_paid_check CHECK (paid_minor >= 0),
    CONSTRAINT purchases_reversed_check
        CHECK (reversed_credits >= 0 AND reversed_credits <= credits)
) WITH (fillfactor = 90);
COMMENT ON COLUMN purchases.reversed_credits IS
    'taken back so far, or owed to be (unrecovered in its lot)';

-- What a provider said of payments that go back, or are disputed, as it was last
-- reported. action: 1 refund, 2 credit, 3 chargeback, 4 chargeback warning,
-- 5 credit reverse, 6 chargeback reverse, 7 chargeback warning reverse.
-- status: 1 pending approval, 2 approved, 3 rejected, 4 reversed.
CREATE TABLE adjustments (
    account_id     text COLLATE "C" NOT NULL,
    provider       text COLLATE "C" NOT NULL,
    adjustment_id  text COLLATE "C" NOT NULL,
    transaction_id text COLLATE "C" NOT NULL,
    action         smallint         NOT NULL,
    status         smallint         NOT NULL,
    is_full        boolean          NOT NULL,
    item_ids       text[]           NOT NULL,
    item_totals    bigint[]         NOT NULL,
    occurred_at    timestamptz      NOT NULL,
    CONSTRAINT adjustments_pkey PRIMARY KEY (account_id, provider, adjustment_id),
    CONSTRAINT adjustments_action_check CHECK (action BETWEEN 1 AND 7),
    CONSTRAINT adjustments_status_check CHECK (status BETWEEN 1 AND 4),
    CONSTRAINT adjustments_items_check CHECK (cardinality(item_ids) = cardinality(item_totals))
);
-- Those of one payment.
CREATE INDEX adjustments_transaction_idx
    ON adjustments (account_id COLLATE "POSIX", provider COLLATE "POSIX", transaction_id);

-- Reports of a provider that have had their effect, each once.
CREATE TABLE applied_events (
    account_id text COLLATE "C" NOT NULL,
    provider   text COLLATE "C" NOT NULL,
    event_id   text COLLATE "C" NOT NULL,
    apply_time timestamptz      NOT NULL,
    CONSTRAINT applied_events_pkey PRIMARY KEY (account_id, provider, event_id)
);
