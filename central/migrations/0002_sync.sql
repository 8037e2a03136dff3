-- What the boxes sent, exactly as they sent it: one gapless chain per (box, epoch). The typed tables of the other
-- schemas are derived from sync.records by the *_rows functions; `gtv-sync audit` compares the two.
CREATE TABLE sync.chains (
    box_id     uuid NOT NULL REFERENCES cidades.boxes,
    epoch      bigint NOT NULL,
    -- Last committed record.
    seq        bigint NOT NULL,
    hash       bytea NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (box_id, epoch)
);

CREATE TABLE sync.records (
    box_id        uuid NOT NULL,
    epoch         bigint NOT NULL,
    seq           bigint NOT NULL,
    prev_hash     bytea NOT NULL,
    hash          bytea NOT NULL,
    kind          text NOT NULL,
    id            text NOT NULL,
    created_at_us bigint NOT NULL,
    objects       jsonb NOT NULL,
    -- Text, not jsonb: the hash covers the exact text.
    body          text NOT NULL,
    -- 'quarantined': in the chain, but this version could not make a typed row of it (see reason).
    -- 'retold': an earlier record, mostly of an earlier epoch, told the same thing; that one has the typed row.
    state         text NOT NULL CHECK (state IN ('applied', 'quarantined', 'retold')),
    reason        text,
    received_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (box_id, epoch, seq),
    FOREIGN KEY (box_id, epoch) REFERENCES sync.chains
);
CREATE INDEX records_not_applied ON sync.records (box_id, epoch, seq) WHERE state <> 'applied';
-- A thing has one typed row, however often a box tells of it. Cameras and the box's status change and are told again.
CREATE UNIQUE INDEX records_thing ON sync.records (box_id, kind, id)
    WHERE state = 'applied' AND kind NOT IN ('camera', 'box_status');

-- The box's signatures: one a batch, over the hash of its last record and thereby over all before it.
CREATE TABLE sync.heads (
    box_id      uuid NOT NULL,
    epoch       bigint NOT NULL,
    seq         bigint NOT NULL,
    hash        bytea NOT NULL,
    lost_digest bytea NOT NULL,
    signature   bytea NOT NULL,
    public_key  bytea NOT NULL,
    PRIMARY KEY (box_id, epoch, seq),
    FOREIGN KEY (box_id, epoch) REFERENCES sync.chains
);

-- Objects that committed records name.
CREATE TABLE sync.objects (
    bucket      text NOT NULL,
    key         text NOT NULL,
    box_id      uuid NOT NULL,
    sha256      bytea NOT NULL,
    bytes       bigint NOT NULL,
    -- 'content': read back and hashed. 'size': too large to read back, only its size was compared.
    -- 'lost': the box declared that it has lost it (see reason).
    checked     text NOT NULL CHECK (checked IN ('content', 'size', 'lost')),
    reason      text,
    checked_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, key)
);
CREATE INDEX objects_box ON sync.objects (box_id);

-- Everything that was not as it should be; retries of the same fault count up.
CREATE TABLE sync.incidents (
    box_id   uuid NOT NULL,
    epoch    bigint NOT NULL,
    seq      bigint NOT NULL,
    name     text NOT NULL,
    detail   text NOT NULL,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at  timestamptz NOT NULL DEFAULT now(),
    times    bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (box_id, epoch, seq, name)
);

CREATE FUNCTION sync.at_us(us bigint) RETURNS timestamptz LANGUAGE sql STABLE STRICT AS
$$ SELECT timestamptz '1970-01-01 00:00:00+00' + us * interval '1 microsecond' $$;

-- Applied records of one kind with their parsed body. OFFSET 0 keeps the planner from copying the parse into each
-- expression that uses it, which costs one parse a column.
CREATE FUNCTION sync.bodies(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint, p_kind text)
RETURNS TABLE (box_id uuid, epoch bigint, seq bigint, id text, created_at_us bigint, objects jsonb, b jsonb)
LANGUAGE sql STABLE AS $$
    SELECT r.box_id, r.epoch, r.seq, r.id, r.created_at_us, r.objects, r.body::jsonb
    FROM sync.records r
    WHERE r.box_id = p_box AND r.epoch = p_epoch AND r.seq BETWEEN p_from AND p_to
      AND r.kind = p_kind AND r.state = 'applied'
    OFFSET 0
$$;

-- One of a record's objects by its SHA-256.
CREATE FUNCTION sync.object_of(objects jsonb, sha256 text) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT o FROM jsonb_array_elements(objects) o WHERE o->>'sha256' = sha256 LIMIT 1 $$;

CREATE FUNCTION sync.camera_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF cidades.cameras LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, id, b->>'name', (b->>'enabled')::boolean, coalesce((b->>'removed')::boolean, false),
           b->>'manufacturer', b->>'model', (b->>'latitude')::float8, (b->>'longitude')::float8,
           sync.at_us(created_at_us)
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'camera')
$$;
