-- Tenants, boxes and cameras; enrolment codes of the administration.
CREATE SCHEMA admin;
CREATE SCHEMA cidades;

CREATE TABLE cidades.prefeituras (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug       text NOT NULL UNIQUE,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE cidades.boxes (
    id            uuid PRIMARY KEY,
    prefeitura_id uuid NOT NULL REFERENCES cidades.prefeituras,
    name          text NOT NULL,
    site          text NOT NULL DEFAULT '',
    public_key    bytea NOT NULL CHECK (length(public_key) = 32),
    enabled       boolean NOT NULL DEFAULT true,
    software      text,
    enrolled_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz,
    -- Last box_status record, as the box wrote it.
    status        jsonb,
    status_at     timestamptz
);
CREATE INDEX boxes_prefeitura ON cidades.boxes (prefeitura_id);

CREATE TABLE cidades.cameras (
    box_id       uuid NOT NULL REFERENCES cidades.boxes,
    epoch        bigint NOT NULL,
    seq          bigint NOT NULL,
    camera       text NOT NULL,
    name         text NOT NULL,
    enabled      boolean NOT NULL,
    removed      boolean NOT NULL,
    manufacturer text,
    model        text,
    latitude     double precision,
    longitude    double precision,
    updated_at   timestamptz NOT NULL,
    PRIMARY KEY (box_id, camera)
);

-- One-time codes; only their SHA-256 is kept.
CREATE TABLE admin.enrolment_codes (
    code_sha256   bytea PRIMARY KEY,
    prefeitura_id uuid NOT NULL REFERENCES cidades.prefeituras,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    used_at       timestamptz,
    used_by       uuid
);
