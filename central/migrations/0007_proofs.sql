-- What the boxes say they have: signed Merkle roots over their chains, and how much each hour had to tell.
CREATE TABLE sync.roots (
    box_id     uuid NOT NULL,
    -- The record that brought it.
    epoch      bigint NOT NULL,
    seq        bigint NOT NULL,
    -- What it is over.
    of_epoch   bigint NOT NULL,
    first_seq  bigint NOT NULL,
    last_seq   bigint NOT NULL,
    root       text NOT NULL,
    ledger     uuid NOT NULL,
    signature  text NOT NULL,
    -- As the service found it when the root came: true if the stored records give this root. Null while unknown.
    verified   boolean,
    PRIMARY KEY (box_id, epoch, seq)
);

-- The newest count of each hour, by the database of the box that counted.
CREATE TABLE sync.hours (
    box_id  uuid NOT NULL,
    epoch   bigint NOT NULL,
    seq     bigint NOT NULL,
    ledger  uuid NOT NULL,
    hour    timestamptz NOT NULL,
    records bigint NOT NULL,
    objects bigint NOT NULL,
    evicted bigint NOT NULL,
    PRIMARY KEY (box_id, ledger, hour)
);

CREATE FUNCTION sync.root_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF sync.roots LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, (b->>'epoch')::bigint, (b->>'first_seq')::bigint, (b->>'last_seq')::bigint, b->>'root',
           (b->>'ledger')::uuid, b->>'signature', NULL::boolean
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'proof')
$$;

CREATE FUNCTION sync.hour_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF sync.hours LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, (b->>'ledger')::uuid, sync.at_us((h->>'start_us')::bigint), (h->>'records')::bigint,
           (h->>'objects')::bigint, (h->>'evicted')::bigint
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'proof'), LATERAL jsonb_array_elements(b->'hours') h
$$;

-- For the audit by the hour: records of a box by the time at which they were made.
CREATE INDEX records_made ON sync.records (box_id, created_at_us);
