-- Which lot restored credits came from, so that what is owed for it is found with
-- them. Only what is added; the program before this one works on.
ALTER TABLE lots ADD COLUMN origin_lot_id uuid;
COMMENT ON COLUMN lots.origin_lot_id IS
    'where these credits live on for those of a lot that had expired: the first lot of them; else null';
