// The box itself: health, storage, plate reading, center, users, audit log, preferences.
import { request } from '../api/client';
import type { BoxStatus } from '../api/types';
import { Button, ErrorNote, Loading } from '../components/basics';
import { PageHead } from '../components/Shell';
import { useI18n } from '../i18n';
import { useAction, useData } from '../lib/use-data';
import { useMay } from '../lib/user';
import { Password, Preferences } from './system/Account';
import { Delivery } from './system/Delivery';
import { Health } from './system/Health';
import { Reading } from './system/Reading';
import { Audit, Configuration } from './system/Records';
import { StreamLogins } from './system/StreamLogins';
import { Users } from './system/Users';

export function System() {
  const { t } = useI18n();
  const status = useData<BoxStatus>('/api/admin/status', 3000);
  const administrator = useMay('administrator');
  const logout = useAction();
  return (
    <>
      <PageHead title={t('system.title')}>
        <Button
          busy={logout.busy}
          onClick={() =>
            logout.run(async () => {
              await request('/api/admin/logout', { method: 'POST' });
              location.assign('/');
            })
          }
        >
          {t('login.logout')}
        </Button>
      </PageHead>
      <ErrorNote error={status.error ?? logout.error} />
      {status.loading && <Loading />}
      <div className="system">
        {status.data && (
          <>
            <Health status={status.data} />
            <Reading lpr={status.data.lpr} />
            <Delivery alerts={status.data.alerts} now={status.data.now} />
          </>
        )}
        <Preferences />
        <Password />
        {administrator && <Users />}
        {administrator && <StreamLogins />}
        {administrator && <Audit />}
        {administrator && <Configuration />}
      </div>
    </>
  );
}
