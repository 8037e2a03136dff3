// When each recorded stream of a camera is recorded, and how much space it may take.
import type { Camera, CameraInput, RecordHow, RecordMode } from '../api/types';
import { useI18n } from '../i18n';
import { Field, Select, fieldError } from './basics';

const MODES: RecordMode[] = ['continuous', 'motion', 'detection', 'schedule'];
const GB = 1e9;

export function RecordFields({ form, onChange, error }: { form: CameraInput; onChange: (change: CameraInput) => void; error: unknown }) {
  const { t } = useI18n();
  const record: Camera['record'] = form.record ?? 'main';
  const limit = form.max_bytes ?? 0;
  return (
    <>
      {(record === 'main' || record === 'both') && (
        <How name={record === 'both' ? t('camera.record.main') : ''} field="record_main" how={form.record_main} lpr={form.lpr !== 'off'} error={error} onChange={(how) => onChange({ record_main: how })} />
      )}
      {(record === 'sub' || record === 'both') && (
        <How name={record === 'both' ? t('camera.record.sub') : ''} field="record_sub" how={form.record_sub} lpr={form.lpr !== 'off'} error={error} onChange={(how) => onChange({ record_sub: how })} />
      )}
      {record !== 'off' && (
        <Field
          label={t('camera.max_gb')}
          hint={t('camera.max_gb_hint')}
          type="number"
          min={0}
          step="any"
          value={limit === 0 ? '' : String(limit / GB)}
          onChange={(event) => onChange({ max_bytes: Math.round(Math.max(0, Number(event.target.value)) * GB) })}
          error={fieldError(error, 'max_bytes')}
        />
      )}
    </>
  );
}

function How({
  name,
  field,
  how,
  lpr,
  error,
  onChange,
}: {
  name: string;
  field: string;
  how: RecordHow | undefined;
  lpr: boolean;
  error: unknown;
  onChange: (how: RecordHow) => void;
}) {
  const { t } = useI18n();
  if (!how) return null;
  const rolls = how.mode === 'motion' || how.mode === 'detection';
  // Without plates nothing would ever be read.
  const modes = MODES.filter((mode) => mode !== 'detection' || lpr || how.mode === mode);
  const label = (text: string): string => (name === '' ? text : `${text} (${name})`);
  return (
    <>
      <Select label={label(t('camera.mode'))} value={how.mode} options={modes.map((mode) => [mode, t(`camera.mode.${mode}`)] as const)} onChange={(mode) => onChange({ ...how, mode })} />
      {rolls && (
        <div className="columns">
          <Field label={t('camera.pre_roll')} type="number" min={0} max={60} value={how.pre_roll_s} onChange={(event) => onChange({ ...how, pre_roll_s: Number(event.target.value) })} error={fieldError(error, `${field}.pre_roll`)} />
          <Field label={t('camera.post_roll')} type="number" min={0} max={600} value={how.post_roll_s} onChange={(event) => onChange({ ...how, post_roll_s: Number(event.target.value) })} error={fieldError(error, `${field}.post_roll`)} />
        </div>
      )}
      {(how.mode !== 'continuous' || how.schedule.length > 0) && (
        <Field
          label={label(t('camera.schedule'))}
          hint={t('camera.schedule_hint')}
          defaultValue={how.schedule.join('; ')}
          onChange={(event) => onChange({ ...how, schedule: event.target.value.split(';').map((entry) => entry.trim()).filter(Boolean) })}
          spellCheck={false}
          error={fieldError(error, `${field}.schedule`)}
        />
      )}
    </>
  );
}
