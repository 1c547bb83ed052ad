/** Every action that a grant can allow; all but `admin` are setec's. */
export const ACTIONS = ['get', 'info', 'put', 'create-version', 'activate', 'delete', 'admin'] as const;
export type Action = (typeof ACTIONS)[number];

/**
 * Allows `actions` on the secrets that match `secrets` to the principals that match `to`.
 *
 * A pattern is a literal in which each `*` stands for any run of characters, `/` included. Everything that no
 * grant allows is denied.
 */
export interface Grant {
  readonly to: readonly string[];
  readonly actions: readonly Action[];
  readonly secrets: readonly string[];
}
