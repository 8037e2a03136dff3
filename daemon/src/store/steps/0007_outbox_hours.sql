-- How much each hour had to tell the centre, by the time at which its records were made: what the box's proofs state.
CREATE TABLE outbox_hours (
    start_us INTEGER PRIMARY KEY,
    records  INTEGER NOT NULL DEFAULT 0,
    objects  INTEGER NOT NULL DEFAULT 0,
    -- Of the records, those that went before they could be delivered.
    evicted  INTEGER NOT NULL DEFAULT 0,
    -- 1 while no proof states these numbers.
    changed  INTEGER NOT NULL DEFAULT 1
) STRICT;
