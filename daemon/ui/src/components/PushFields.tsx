// Where a stream of a camera is sent by RTSP.
import type { Camera, CameraInput, PushInput } from '../api/types';
import { useI18n } from '../i18n';
import { Field, Select, fieldError } from './basics';

export function PushFields({ form, camera, onChange, error }: { form: CameraInput; camera: Camera; onChange: (push: PushInput) => void; error: unknown }) {
  const { t } = useI18n();
  const push = form.push ?? {};
  const streams = (['main', 'sub'] as const).filter((kind) => kind === 'main' || form.sub_url !== '');
  return (
    <details className="push-fields" open={camera.push.url !== '' || fieldError(error, 'push.url') !== undefined}>
      <summary>{t('push.title')}</summary>
      <Field label={t('push.url')} hint={t('push.hint')} placeholder="rtsp://" value={push.url ?? ''} onChange={(e) => onChange({ ...push, url: e.target.value })} inputMode="url" spellCheck={false} error={fieldError(error, 'push.url')} />
      <div className="columns">
        <Field label={t('camera.username')} value={push.username ?? ''} onChange={(e) => onChange({ ...push, username: e.target.value })} autoComplete="off" autoCapitalize="none" spellCheck={false} />
        <Field label={t('camera.password')} type="password" value={push.password ?? ''} onChange={(e) => onChange({ ...push, password: e.target.value })} autoComplete="new-password" hint={camera.push.has_password ? t('camera.password_kept') : undefined} />
      </div>
      <Select label={t('camera.stream')} value={push.stream ?? 'main'} options={streams.map((kind) => [kind, t(`live.${kind}`)] as const)} onChange={(stream) => onChange({ ...push, stream })} />
    </details>
  );
}
