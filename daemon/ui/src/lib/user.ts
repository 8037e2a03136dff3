// Who is logged in, for the pages.
import { createContext, useContext } from 'react';

import type { Role, User } from '../api/types';

export const UserContext = createContext<User | null>(null);

const order: Role[] = ['viewer', 'operator', 'administrator'];

/** Whether the user has at least this role. The box decides anyway; the page only hides what would be refused. */
export function useMay(role: Role): boolean {
  const user = useContext(UserContext);
  return user !== null && order.indexOf(user.role) >= order.indexOf(role);
}

export function useUser(): User {
  const user = useContext(UserContext);
  if (!user) throw new Error('useUser outside of a session');
  return user;
}
