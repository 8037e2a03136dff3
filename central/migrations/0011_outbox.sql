-- Domain events that still have to be published: one row a batch, written in the transaction that stores the batch. It
-- names the records instead of copying them; what is said of them is made when it is published.
CREATE TABLE sync.outbox (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    box_id    uuid NOT NULL,
    epoch     bigint NOT NULL,
    first_seq bigint NOT NULL,
    last_seq  bigint NOT NULL,
    -- Records among them, at most: the bound is on their sum.
    records   bigint NOT NULL,
    queued_at timestamptz NOT NULL DEFAULT now()
);

-- What went unpublished, because the broker was away for too long: records by UTC day.
CREATE TABLE sync.outbox_dropped (
    day     date PRIMARY KEY,
    records bigint NOT NULL
);
