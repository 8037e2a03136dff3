// Alerts: how many vehicles are watched for, who is told outside of the box, and whether that works.
import type { BoxStatus } from '../../api/types';
import { useI18n } from '../../i18n';
import { brief } from '../../lib/time';
import { Card, Fact, StateMark } from './parts';

export function Delivery({ alerts, now }: { alerts: BoxStatus['alerts']; now: number }) {
  const { t, locale } = useI18n();
  const count = (value: number): string => value.toLocaleString(locale);
  return (
    <Card title={t('alerts.title')}>
      <dl className="facts">
        <Fact name={t('system.watched')}>{count(alerts.watched_vehicles)}</Fact>
      </dl>
      {alerts.targets.length === 0 && <p className="lead">{t('system.no_targets')}</p>}
      {alerts.targets.map((target) => (
        <section key={target.name} className="target">
          <div className="row-between">
            <h3>{target.name === 'mqtt' ? 'MQTT' : target.name.replace(/^webhook\//, t('system.webhook'))}</h3>
            <StateMark state={target.error === null ? 'streaming' : 'unreachable'}>{t(target.error === null ? 'system.webhook.ok' : 'system.webhook.failing')}</StateMark>
          </div>
          {target.error !== null && (
            <p className="note bad" lang="en">
              {target.error}
            </p>
          )}
          <dl className="facts">
            <Fact name={t('system.webhook.waiting')}>
              {target.waiting > 0 && target.oldest_queued_at !== null
                ? t('system.webhook.waiting_since', { count: count(target.waiting), time: brief(target.oldest_queued_at, now, locale) })
                : count(target.waiting)}
            </Fact>
            <Fact name={t('system.webhook.delivered')}>
              {target.delivered_at === null ? count(target.delivered) : t('system.webhook.delivered_at', { count: count(target.delivered), time: brief(target.delivered_at, now, locale) })}
            </Fact>
            {target.given_up > 0 && <Fact name={t('system.webhook.given_up')}>{count(target.given_up)}</Fact>}
          </dl>
        </section>
      ))}
    </Card>
  );
}
