-- Directories: they only find things. What decides lies in a cell, beside the
-- balance. Nothing here is read inside a batch.

-- Where accounts live. A cell is a schema that holds all hot tables; no key,
-- join or transaction of the write path spans two of them.
CREATE TABLE cells (
    cell_id     smallint    NOT NULL,
    schema_name text        NOT NULL,
    create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT cells_pkey PRIMARY KEY (cell_id),
    CONSTRAINT cells_schema_name_key UNIQUE (schema_name),
    CONSTRAINT cells_schema_name_check CHECK (schema_name ~ '^cell_[0-9]{2}$')
);

CREATE TABLE account_directory (
    account_id text COLLATE "C" NOT NULL,
    cell_id    smallint         NOT NULL,
    CONSTRAINT account_directory_pkey PRIMARY KEY (account_id)
);

-- Which account a project was last given to; null once it was taken away.
CREATE TABLE project_directory (
    project_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C",
    CONSTRAINT project_directory_pkey PRIMARY KEY (project_id)
);

-- Which account a payment provider's customer belongs to.
CREATE TABLE provider_directory (
    provider    text COLLATE "C" NOT NULL,
    customer_id text COLLATE "C" NOT NULL,
    account_id  text COLLATE "C" NOT NULL,
    CONSTRAINT provider_directory_pkey PRIMARY KEY (provider, customer_id)
);

-- Every catalog that was applied. Cells hold copies, which decide.
CREATE TABLE catalogs (
    revision    bigint      NOT NULL,
    document    jsonb       NOT NULL,
    actor       text        NOT NULL,
    create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT catalogs_pkey PRIMARY KEY (revision),
    CONSTRAINT catalogs_revision_check CHECK (revision >= 1)
);
