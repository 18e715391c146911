-- A reservation enters the list of an account's newest once, when it is settled, and
-- not already when it is made: one index less to write for each Reserve. Those that are
-- held are few, and reservations_held_idx finds them. The program before this one lists
-- an account's reservations without an index, slowly, until it is replaced.
CREATE INDEX reservations_settled_idx
    ON reservations (account_id COLLATE "ucs_basic", create_time)
 WHERE settle_time IS NOT NULL;
DROP INDEX reservations_newest_idx;
