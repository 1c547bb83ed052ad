// Plain JavaScript beside the other helpers; the contract stands in canary.d.mts.

export const CANARY = 'coffer-canary-5e1f0c7a9b';

export function canary(label) {
  return `${CANARY} ${label}`;
}

export function findCanary(output) {
  // latin1 keeps every byte, and the canary is ASCII.
  const text = (typeof output === 'string' ? Buffer.from(output) : output).toString('latin1');
  return FORMS.find(({ form }) => text.includes(form))?.name;
}

export function expectNoCanary(output, where) {
  const found = findCanary(output);
  if (found !== undefined) throw new Error(`${where} holds a secret value (${found})`);
}

const bytes = Buffer.from(CANARY);
const looksLike = (name, form) => ({ name, form });

/** Base64 looks different at each of three places in a group; what is the same whatever stands around is looked for. */
const base64Forms = [0, 1, 2].map((before) => {
  const padded = Buffer.concat([Buffer.alloc(before), bytes]);
  const whole = padded.subarray(before === 0 ? 0 : 3);
  return looksLike('base64', whole.subarray(0, whole.length - (whole.length % 3)).toString('base64'));
});

const FORMS = [
  looksLike('text', CANARY),
  ...base64Forms,
  looksLike('hexadecimal', bytes.toString('hex')),
  looksLike('hexadecimal', bytes.toString('hex').toUpperCase()),
  looksLike('a list of bytes', [...bytes].join(',')),
  looksLike('a list of bytes', [...bytes].join(', ')),
  looksLike('a list of bytes', [...bytes].join(' ')),
  looksLike('percent-encoded', [...bytes].map((byte) => `%${byte.toString(16)}`).join('')),
];
