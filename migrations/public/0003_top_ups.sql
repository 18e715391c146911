-- Which account a top-up was opened for. Its id is in its opener's hands alone, so
-- one that a second account opens under the same id is refused.
CREATE TABLE top_up_directory (
    top_up_id  text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    CONSTRAINT top_up_directory_pkey PRIMARY KEY (top_up_id)
);
