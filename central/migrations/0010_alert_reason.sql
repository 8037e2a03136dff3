-- Why an alert was raised: of a listed vehicle what the list says, of a lost camera what it answered.
ALTER TABLE ai.alerts ADD COLUMN reason text;

CREATE OR REPLACE FUNCTION sync.alert_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF ai.alerts LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, id, b->>'rule', b->>'severity', b->>'camera', (b->>'detection')::uuid, b->>'plate',
           b->>'message', sync.at_us((b->>'raised_at_us')::bigint), sync.tenant_of(box_id), b->>'reason'
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'alert')
$$;

-- Boxes that are ahead of the centre have told it already.
UPDATE ai.alerts a SET reason = f.reason
FROM sync.chains c, LATERAL sync.alert_rows(c.box_id, c.epoch, 1, c.seq) f
WHERE f.reason IS NOT NULL AND (a.box_id, a.epoch, a.seq) = (f.box_id, f.epoch, f.seq);
