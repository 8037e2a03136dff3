// Health of the box, its disk and its tie to the center.
import type { BoxStatus } from '../../api/types';
import { useI18n } from '../../i18n';
import { brief, bytes, dayAndClock, roughly } from '../../lib/time';
import { Card, Fact, StateMark } from './parts';

export function Health({ status }: { status: BoxStatus }) {
  const { t, locale } = useI18n();
  const { disk, sync } = status;
  const used = disk.total_bytes > 0 ? 1 - disk.free_bytes / disk.total_bytes : 0;
  const low = disk.free_bytes < disk.floor_bytes * 1.1;
  const pending = sync.waiting.reduce((sum, n) => sum + n, sync.in_flight);
  return (
    <>
      <Card title={t('system.box')} state={<StateMark state={status.ready ? 'streaming' : 'stalled'}>{t(status.ready ? 'system.ready' : 'system.not_ready')}</StateMark>}>
        {status.reason !== null && (
          <p className="note bad" lang="en">
            {status.reason}
          </p>
        )}
        <dl className="facts">
          <Fact name={t('camera.name')}>{[status.name, status.site].filter(Boolean).join(', ')}</Fact>
          <Fact name={t('system.cameras')}>
            {status.cameras.streaming} / {status.cameras.configured}
          </Fact>
          <Fact name={t('system.uptime')}>{roughly(status.uptime_seconds)}</Fact>
          <Fact name={t('system.clock')}>{dayAndClock(status.now, locale)}</Fact>
          <Fact name={t('system.version')}>{status.version}</Fact>
        </dl>
      </Card>
      <Card title={t('system.disk')} state={disk.state !== 'recording' && <StateMark state="stalled">{t(`system.storage.${disk.state}`)}</StateMark>}>
        {disk.reason !== '' && (
          <p className="note bad" lang="en">
            {disk.reason}
          </p>
        )}
        <div className={`meter ${low ? 'bad' : ''}`} role="img" aria-label={used.toLocaleString(locale, { style: 'percent' })}>
          <span style={{ width: `${used * 100}%` }} />
        </div>
        <p className="lead">{t('system.disk_free', { free: bytes(disk.free_bytes, locale), total: bytes(disk.total_bytes, locale) })}</p>
        <dl className="facts">
          <Fact name={t('system.recorded')}>{bytes(disk.recorded_bytes, locale)}</Fact>
          {disk.locked_bytes > 0 && <Fact name={t('system.locked')}>{bytes(disk.locked_bytes, locale)}</Fact>}
          {disk.bytes_per_day > 0 && <Fact name={t('system.per_day')}>{bytes(disk.bytes_per_day, locale)}</Fact>}
          {disk.bytes_per_day > 0 && (
            <Fact name={t('system.full_in')}>{disk.full_in_seconds === null ? t('system.full_age') : roughly(disk.full_in_seconds)}</Fact>
          )}
          {disk.keeps_seconds !== null && <Fact name={t('system.keeps')}>{roughly(disk.keeps_seconds)}</Fact>}
          {disk.disks.length > 1 &&
            disk.disks.map((one) => (
              <Fact key={one.path} name={one.path}>
                {one.state === 'ok'
                  ? t('system.disk_free', { free: bytes(one.free_bytes, locale), total: bytes(one.total_bytes, locale) })
                  : t(`system.disk_${one.state}`)}
              </Fact>
            ))}
          {disk.oldest_recording !== null && <Fact name={t('system.oldest')}>{brief(disk.oldest_recording, status.now, locale)}</Fact>}
        </dl>
      </Card>
      <Card
        title={t('system.sync')}
        state={sync.configured && <StateMark state={sync.connected ? 'streaming' : 'unreachable'}>{t(sync.connected ? 'system.connected' : 'system.disconnected')}</StateMark>}
      >
        {!sync.configured && <p className="lead">{t('system.sync_off')}</p>}
        {sync.problem !== null && (
          <p className="note bad" lang="en">
            {sync.problem}
          </p>
        )}
        {sync.configured && (
          <dl className="facts">
            <Fact name={t('system.pending')}>
              {pending === 0
                ? t('system.nothing_pending')
                : t('system.pending_counts', { alerts: sync.waiting[0], detections: sync.waiting[1], clips: sync.waiting[2], recordings: sync.waiting[3], flight: sync.in_flight })}
            </Fact>
            {sync.spool_bytes > 0 && <Fact name={t('system.spool')}>{bytes(sync.spool_bytes, locale)}</Fact>}
            {sync.recordings_bytes > 0 && (
              <Fact name={t('system.spool_recordings')}>{bytes(sync.recordings_bytes, locale)}</Fact>
            )}
            {pending > 0 && (
              <Fact name={t('system.delivered_in')}>{sync.delivered_in_seconds === null ? t('system.delivered_unknown') : roughly(sync.delivered_in_seconds)}</Fact>
            )}
            {sync.spool_full_in_seconds !== null && <Fact name={t('system.spool_full_in')}>{roughly(sync.spool_full_in_seconds)}</Fact>}
            <Fact name={t('system.acknowledged')}>{sync.acknowledged_seq.toLocaleString(locale)}</Fact>
          </dl>
        )}
      </Card>
    </>
  );
}
