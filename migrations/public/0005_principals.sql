-- Who may call by a certificate or a token: names that others vouch for. And who has
-- made, or taken away, what lets callers in: these rows are their own record.
CREATE TABLE principals (
    principal     text COLLATE "C" NOT NULL,
    name          text             NOT NULL,
    scopes        text[]           NOT NULL,
    account_ids   text[],
    create_time   timestamptz      NOT NULL DEFAULT clock_timestamp(),
    create_actor  text             NOT NULL,
    revoke_time   timestamptz,
    revoke_actor  text,
    last_use_time timestamptz,
    CONSTRAINT principals_pkey PRIMARY KEY (principal, create_time),
    CONSTRAINT principals_principal_check CHECK (principal ~ '^(certificate|token):[!-~]{1,200}$'),
    CONSTRAINT principals_name_check CHECK (name <> ''),
    CONSTRAINT principals_scopes_check CHECK (cardinality(scopes) > 0),
    CONSTRAINT principals_account_ids_check CHECK (cardinality(account_ids) > 0)
);
CREATE UNIQUE INDEX principals_one_key ON principals (principal) WHERE revoke_time IS NULL;
COMMENT ON TABLE principals IS 'one that was removed stays; it may be let in anew, as another row';
COMMENT ON COLUMN principals.account_ids IS 'the accounts that it sees; null for all';
COMMENT ON COLUMN principals.last_use_time IS 'to the minute';

ALTER TABLE api_keys
    ADD COLUMN create_actor text,
    ADD COLUMN revoke_actor text;
COMMENT ON COLUMN api_keys.create_actor IS 'null for a key of before this was noted';
