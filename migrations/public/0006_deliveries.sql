-- Who is told of events, and what became of it: webhooks and mails. None of it
-- decides anything: it is derived from the cells' feeds, and each row is there once
-- for each event, however often a feed is read.

-- How far a feed was handed on, for each kind of delivery.
CREATE TABLE event_cursors (
    consumer  text COLLATE "C" NOT NULL,
    cell_id   smallint         NOT NULL,
    position  bigint           NOT NULL,
    move_time timestamptz      NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT event_cursors_pkey PRIMARY KEY (consumer, cell_id),
    CONSTRAINT event_cursors_position_check CHECK (position >= 0)
);

CREATE TABLE webhook_endpoints (
    endpoint_id       text COLLATE "C" NOT NULL,
    account_id        text COLLATE "C",
    url               text             NOT NULL,
    kinds             smallint[]       NOT NULL,
    secret            bytea            NOT NULL,
    old_secret        bytea,
    old_secret_until  timestamptz,
    create_time       timestamptz      NOT NULL DEFAULT clock_timestamp(),
    create_actor      text             NOT NULL,
    remove_time       timestamptz,
    remove_actor      text,
    disable_time      timestamptz,
    disable_reason    text             NOT NULL DEFAULT '',
    takes             bigint           NOT NULL DEFAULT 0,
    failures          integer          NOT NULL DEFAULT 0,
    next_attempt_time timestamptz,
    CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (endpoint_id),
    CONSTRAINT webhook_endpoints_secret_check CHECK (octet_length(secret) BETWEEN 24 AND 64),
    CONSTRAINT webhook_endpoints_old_secret_check
        CHECK ((old_secret IS NULL) = (old_secret_until IS NULL)),
    CONSTRAINT webhook_endpoints_url_check CHECK (octet_length(url) BETWEEN 1 AND 2000)
);
COMMENT ON COLUMN webhook_endpoints.account_id IS 'whose events it is told; null for all';
COMMENT ON COLUMN webhook_endpoints.kinds IS 'of these kinds; empty for all: see notices.kind';
COMMENT ON COLUMN webhook_endpoints.secret IS 'signs what is sent: so it is kept as it is';
COMMENT ON COLUMN webhook_endpoints.takes IS 'how often it was taken: who took it for the nth time may settle it as the nth only';
COMMENT ON COLUMN webhook_endpoints.failures IS 'attempts at the first delivery that waits: sets the rest before the next';
COMMENT ON COLUMN webhook_endpoints.next_attempt_time IS 'when it is to be taken; null where nothing waits';
CREATE INDEX webhook_endpoints_due_idx ON webhook_endpoints (next_attempt_time)
 WHERE disable_time IS NULL AND remove_time IS NULL AND next_attempt_time IS NOT NULL;

-- state: 1 WAITING, 2 DELIVERED, 3 FAILED.
CREATE TABLE webhook_deliveries (
    endpoint_id       text COLLATE "C" NOT NULL,
    event_id          uuid             NOT NULL,
    delivery          bigint           GENERATED ALWAYS AS IDENTITY,
    account_id        text COLLATE "C" NOT NULL,
    kind              smallint         NOT NULL,
    body              text             NOT NULL,
    state             smallint         NOT NULL DEFAULT 1,
    attempts          integer          NOT NULL DEFAULT 0,
    last_attempt_time timestamptz,
    response_status   integer,
    error             text             NOT NULL DEFAULT '',
    create_time       timestamptz      NOT NULL DEFAULT clock_timestamp(),
    settle_time       timestamptz,
    CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (endpoint_id, event_id),
    CONSTRAINT webhook_deliveries_state_check CHECK (state BETWEEN 1 AND 3),
    CONSTRAINT webhook_deliveries_settle_check CHECK ((state = 1) = (settle_time IS NULL))
);
COMMENT ON COLUMN webhook_deliveries.body IS 'the same at every attempt';
-- What waits, in order; and the list of an endpoint's, the newest first.
CREATE INDEX webhook_deliveries_waiting_idx
    ON webhook_deliveries (endpoint_id COLLATE "POSIX", delivery) WHERE settle_time IS NULL;
CREATE INDEX webhook_deliveries_newest_idx
    ON webhook_deliveries (endpoint_id COLLATE "ucs_basic", delivery);

-- What is old enough to be forgotten.
CREATE INDEX webhook_deliveries_settle_idx
    ON webhook_deliveries (settle_time) WHERE settle_time IS NOT NULL;

-- What an account wants to be mailed; no row for what is usual.
CREATE TABLE mail_choices (
    account_id   text COLLATE "C" NOT NULL,
    kinds        smallint[]       NOT NULL,
    change_time  timestamptz      NOT NULL DEFAULT clock_timestamp(),
    change_actor text             NOT NULL,
    CONSTRAINT mail_choices_pkey PRIMARY KEY (account_id)
);

-- state: 1 WAITING, 2 SENT, 3 FAILED, 4 HELD_BACK (one too many of its kind).
CREATE TABLE mails (
    event_id          uuid             NOT NULL,
    account_id        text COLLATE "C" NOT NULL,
    kind              smallint         NOT NULL,
    credit_type       text COLLATE "C" NOT NULL,
    recipient         text             NOT NULL,
    subject           text             NOT NULL,
    body_text         text             NOT NULL,
    body_html         text             NOT NULL,
    state             smallint         NOT NULL,
    attempts          integer          NOT NULL DEFAULT 0,
    next_attempt_time timestamptz,
    error             text             NOT NULL DEFAULT '',
    create_time       timestamptz      NOT NULL DEFAULT clock_timestamp(),
    settle_time       timestamptz,
    CONSTRAINT mails_pkey PRIMARY KEY (event_id),
    CONSTRAINT mails_state_check CHECK (state BETWEEN 1 AND 4),
    CONSTRAINT mails_next_attempt_check CHECK ((state = 1) = (next_attempt_time IS NOT NULL)),
    CONSTRAINT mails_settle_check CHECK ((state = 1) = (settle_time IS NULL))
);
CREATE INDEX mails_waiting_idx ON mails (next_attempt_time) WHERE settle_time IS NULL;
CREATE INDEX mails_newest_idx ON mails (account_id, create_time);
CREATE INDEX mails_settle_idx ON mails (settle_time) WHERE settle_time IS NOT NULL;
