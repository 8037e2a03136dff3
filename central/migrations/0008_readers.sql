-- The read API: every question runs as gtv_reader, which sees one prefeitura, that of gtv.prefeitura. Row-level security
-- decides, not the text of a query; without the setting nothing is visible.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gtv_reader') THEN
        CREATE ROLE gtv_reader NOLOGIN;
    END IF;
    -- Not needed by a superuser, and done already where several centres share a server.
    IF NOT pg_has_role(current_user, 'gtv_reader', 'MEMBER') THEN
        EXECUTE format('GRANT gtv_reader TO %I', current_user);
    END IF;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
    RAISE WARNING 'the role gtv_reader could not be made or granted: %', SQLERRM;
END $$;

CREATE FUNCTION admin.tenant() RETURNS uuid LANGUAGE sql STABLE AS
$$ SELECT nullif(current_setting('gtv.prefeitura', true), '')::uuid $$;

-- Who looked at what: the law asks for it, and so does the prefeitura. Questions are kept without the plate.
CREATE TABLE admin.accesses (
    at            timestamptz NOT NULL DEFAULT now(),
    prefeitura_id uuid NOT NULL REFERENCES cidades.prefeituras,
    subject       text NOT NULL,
    role          text NOT NULL,
    path          text NOT NULL,
    -- SHA-256 of the plate that was asked for: shows later that a certain one was.
    plate_sha256  text
);
CREATE INDEX accesses_time ON admin.accesses (prefeitura_id, at);

ALTER TABLE cidades.boxes ENABLE ROW LEVEL SECURITY;
ALTER TABLE cidades.cameras ENABLE ROW LEVEL SECURITY;
ALTER TABLE ai.detections ENABLE ROW LEVEL SECURITY;
ALTER TABLE ai.plates ENABLE ROW LEVEL SECURITY;
ALTER TABLE ai.alerts ENABLE ROW LEVEL SECURITY;
ALTER TABLE streaming.recordings ENABLE ROW LEVEL SECURITY;
ALTER TABLE streaming.clips ENABLE ROW LEVEL SECURITY;
ALTER TABLE streaming.gaps ENABLE ROW LEVEL SECURITY;
ALTER TABLE streaming.tombstones ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON cidades.boxes FOR SELECT USING (prefeitura_id = (SELECT admin.tenant()));
CREATE POLICY tenant ON cidades.cameras FOR SELECT USING (box_id IN (SELECT id FROM cidades.boxes));
CREATE POLICY tenant ON ai.detections FOR SELECT USING (prefeitura_id = (SELECT admin.tenant()));
CREATE POLICY tenant ON ai.plates FOR SELECT USING (prefeitura_id = (SELECT admin.tenant()));
CREATE POLICY tenant ON ai.alerts FOR SELECT USING (prefeitura_id = (SELECT admin.tenant()));
CREATE POLICY tenant ON streaming.recordings FOR SELECT USING (prefeitura_id = (SELECT admin.tenant()));
CREATE POLICY tenant ON streaming.clips FOR SELECT USING (prefeitura_id = (SELECT admin.tenant()));
CREATE POLICY tenant ON streaming.gaps FOR SELECT USING (prefeitura_id = (SELECT admin.tenant()));
CREATE POLICY tenant ON streaming.tombstones FOR SELECT USING (prefeitura_id = (SELECT admin.tenant()));

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gtv_reader') THEN
        GRANT USAGE ON SCHEMA admin, cidades, ai, streaming TO gtv_reader;
        GRANT SELECT ON cidades.boxes, cidades.cameras, ai.detections, ai.plates, ai.alerts, streaming.recordings,
            streaming.clips, streaming.gaps, streaming.tombstones TO gtv_reader;
    END IF;
END $$;
