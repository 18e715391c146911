-- Who may call. Of a key only a hash is kept; the serving role may read keys and
-- note that they were used, and can make none.
CREATE TABLE api_keys (
    key_id        text COLLATE "C" NOT NULL,
    name          text             NOT NULL,
    secret_hash   bytea            NOT NULL,
    scopes        text[]           NOT NULL,
    account_ids   text[],
    create_time   timestamptz      NOT NULL DEFAULT clock_timestamp(),
    expire_time   timestamptz,
    revoke_time   timestamptz,
    last_use_time timestamptz,
    CONSTRAINT api_keys_pkey PRIMARY KEY (key_id),
    CONSTRAINT api_keys_key_id_check CHECK (key_id ~ '^[0-9a-f]{16}$'),
    CONSTRAINT api_keys_name_check CHECK (name <> ''),
    CONSTRAINT api_keys_secret_hash_check CHECK (octet_length(secret_hash) = 32),
    CONSTRAINT api_keys_scopes_check CHECK (cardinality(scopes) > 0),
    CONSTRAINT api_keys_account_ids_check CHECK (cardinality(account_ids) > 0)
);
COMMENT ON COLUMN api_keys.secret_hash IS 'SHA-256 of the whole key: its 256 random bits need no salt';
COMMENT ON COLUMN api_keys.account_ids IS 'the accounts that it sees; null for all';
COMMENT ON COLUMN api_keys.last_use_time IS 'to the minute';
