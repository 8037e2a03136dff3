// Messages about alerts that have just come, over whatever page is open.
import { useEffect } from 'react';

import type { Alert, Camera } from '../api/types';
import { useI18n } from '../i18n';
import { staysMs } from '../lib/alerts';
import { clock } from '../lib/time';
import { useAlerts } from '../lib/use-alerts';
import { useAction, useData } from '../lib/use-data';
import { useMay } from '../lib/user';
import { AlertPicture, AlertText, SeverityBadge } from './AlertParts';
import { Button, Link } from './basics';
import { CloseIcon } from './icons';

/** On the page of alerts they would only hide the list that has them first. */
export function Toasts({ hidden }: { hidden: boolean }) {
  const { t } = useI18n();
  const { toasts } = useAlerts();
  const cameras = useData<{ cameras: Camera[] }>(toasts.length > 0 ? '/api/cidades/cameras' : null);
  return (
    <ul className="toasts" hidden={hidden} aria-live="assertive" aria-label={t('alerts.title')}>
      {toasts.map((alert) => (
        <Toast key={alert.id} alert={alert} camera={cameras.data?.cameras.find((c) => c.id === alert.camera)?.name ?? alert.camera ?? ''} />
      ))}
    </ul>
  );
}

function Toast({ alert, camera }: { alert: Alert; camera: string }) {
  const { t, locale } = useI18n();
  const { dismiss, acknowledge } = useAlerts();
  const mayAcknowledge = useMay('operator');
  const action = useAction();
  const { id, severity } = alert;
  useEffect(() => {
    const stays = staysMs(severity);
    if (stays === null) return undefined;
    const timer = setTimeout(() => dismiss(id), stays);
    return () => clearTimeout(timer);
  }, [id, severity, dismiss]);
  return (
    <li className={`card toast ${severity}`} data-alert={alert.kind}>
      <div className="toast-head">
        <SeverityBadge severity={severity} />
        <span className="meta">
          {camera !== '' && `${camera} · `}
          {clock(alert.detail.last_seen_at ?? alert.at, locale)}
        </span>
        <Button kind="quiet" aria-label={t('common.close')} onClick={() => dismiss(id)}>
          <CloseIcon />
        </Button>
      </div>
      <div className="toast-body">
        <AlertPicture alert={alert} />
        <div className="alert-text">
          <AlertText alert={alert} camera={camera} />
        </div>
      </div>
      <div className="form-actions">
        {alert.detection !== null && (
          <Link to={`/plates/${alert.detection}`} className="button" onFollow={() => dismiss(id)}>
            {t('alerts.passage')}
          </Link>
        )}
        {mayAcknowledge && (
          <Button
            busy={action.busy}
            onClick={() =>
              action.run(async () => {
                await acknowledge(id);
              })
            }
          >
            {t('alerts.acknowledge')}
          </Button>
        )}
        {action.error !== undefined && <span className="hint bad">{t('error.title')}</span>}
      </div>
    </li>
  );
}
