-- What a plate's colors say: private, commercial, official and so on. Nothing from older boxes and unsure readings.
ALTER TABLE ai.detections ADD COLUMN category text;

CREATE OR REPLACE FUNCTION sync.detection_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF ai.detections LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, id::uuid, b->>'camera', b->>'plate', b->>'layout', (b->>'confidence')::float8,
           sync.at_us((b->>'first_seen_us')::bigint), sync.at_us((b->>'last_seen_us')::bigint),
           sync.at_us((b->>'best_at_us')::bigint), b->'quad', b->'bbox', (b->>'frame_width')::integer,
           (b->>'frame_height')::integer, b->>'direction', (b->>'reads')::bigint,
           coalesce((b->>'single')::boolean, false), nullif(b->'slots', 'null'::jsonb),
           crop->>'bucket', crop->>'key', b->>'crop', frame->>'bucket', frame->>'key', b->>'frame', b->>'category'
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'detection'),
         LATERAL (SELECT sync.object_of(objects, b->>'crop') AS crop, sync.object_of(objects, b->>'frame') AS frame) named
$$;

-- A newer box may have told an older center, which kept the record and made its row without the category.
UPDATE ai.detections d SET category = r.body::jsonb->>'category'
FROM sync.records r
WHERE r.box_id = d.box_id AND r.epoch = d.epoch AND r.seq = d.seq AND r.kind = 'detection'
  AND r.body LIKE '%"category"%';
