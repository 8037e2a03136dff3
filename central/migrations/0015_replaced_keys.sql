-- Keys of boxes that others replaced: what they signed before that stands.
CREATE TABLE cidades.replaced_keys (
    box_id      uuid NOT NULL REFERENCES cidades.boxes,
    public_key  bytea NOT NULL CHECK (length(public_key) = 32),
    replaced_at timestamptz NOT NULL,
    PRIMARY KEY (box_id, public_key)
);
