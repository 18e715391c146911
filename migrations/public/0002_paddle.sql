-- What payment providers send, kept as it came, and which account is meant by
-- their ids. None of it decides: that an event has been applied is noted in the
-- account's cell, in the transaction of its effect.

-- state: 1 NEW, 2 PARKED (its account is not known yet, or something that has to
-- come before it), 3 APPLIED, 4 IGNORED (it changes nothing), 5 FAILED.
CREATE TABLE webhook_inbox (
    provider          text COLLATE "C" NOT NULL,
    event_id          text COLLATE "C" NOT NULL,
    event_type        text             NOT NULL,
    occurred_at       timestamptz      NOT NULL,
    receive_time      timestamptz      NOT NULL DEFAULT clock_timestamp(),
    body              bytea            NOT NULL,
    state             smallint         NOT NULL DEFAULT 1,
    attempts          integer          NOT NULL DEFAULT 0,
    parks             integer          NOT NULL DEFAULT 0,
    next_attempt_time timestamptz               DEFAULT clock_timestamp(),
    error             text             NOT NULL DEFAULT '',
    account_id        text COLLATE "C",
    customer_id       text COLLATE "C",
    transaction_id    text COLLATE "C",
    settle_time       timestamptz,
    CONSTRAINT webhook_inbox_pkey PRIMARY KEY (provider, event_id),
    CONSTRAINT webhook_inbox_state_check CHECK (state BETWEEN 1 AND 5),
    CONSTRAINT webhook_inbox_next_attempt_check
        CHECK ((state IN (1, 2)) = (next_attempt_time IS NOT NULL)),
    CONSTRAINT webhook_inbox_settle_check CHECK ((state IN (1, 2)) = (settle_time IS NULL))
);
COMMENT ON COLUMN webhook_inbox.attempts IS 'how often it was taken: who took it for the nth time may settle it as the nth only';
COMMENT ON COLUMN webhook_inbox.parks IS 'how often it was parked since it was last woken: sets how long it rests';
COMMENT ON COLUMN webhook_inbox.next_attempt_time IS 'when it is to be taken; while a worker has it, when another one may';
-- One index for each statement: on an empty table all of them cost the same to
-- the planner, and what it has chosen there stays with a connection. Statements
-- therefore say only what their own index can take: that an event waits by
-- settle_time, by state or by next_attempt_time, which is the same to the checks
-- above; the provider in another collation than the primary key's; and for lists
-- and figures the state in another type.

-- What waits, in the order in which it happened.
CREATE INDEX webhook_inbox_waiting_idx
    ON webhook_inbox (occurred_at, next_attempt_time) WHERE settle_time IS NULL;
-- What a link, or a payment that becomes known, wakes.
CREATE INDEX webhook_inbox_parked_customer_idx
    ON webhook_inbox (customer_id) WHERE state = 2 AND customer_id IS NOT NULL;
CREATE INDEX webhook_inbox_parked_transaction_idx
    ON webhook_inbox (transaction_id) WHERE state = 2 AND transaction_id IS NOT NULL;
-- Lists and figures.
CREATE INDEX webhook_inbox_state_idx ON webhook_inbox ((state::integer), receive_time);
CREATE INDEX webhook_inbox_receive_time_idx ON webhook_inbox (receive_time);

-- Whose a payment is: of whoever was first to say so. A customer that is linked
-- to another account later does not take it along.
CREATE TABLE provider_transactions (
    provider       text COLLATE "C" NOT NULL,
    transaction_id text COLLATE "C" NOT NULL,
    account_id     text COLLATE "C" NOT NULL,
    top_up_id      text COLLATE "C",
    CONSTRAINT provider_transactions_pkey PRIMARY KEY (provider, transaction_id)
);
COMMENT ON COLUMN provider_transactions.top_up_id IS 'the purchase that was opened here for it';

-- Whose a subscription is, likewise.
CREATE TABLE provider_subscriptions (
    provider        text COLLATE "C" NOT NULL,
    subscription_id text COLLATE "C" NOT NULL,
    account_id      text COLLATE "C" NOT NULL,
    CONSTRAINT provider_subscriptions_pkey PRIMARY KEY (provider, subscription_id)
);
