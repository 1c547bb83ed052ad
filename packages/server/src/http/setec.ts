import type { AnswerRoom, Caller, Change, Engine } from '@coffer/engine';
import type { z } from 'zod';
import { secretInfo, secretList, secretValue } from '../wire/answers.js';
import { setecReader } from '../wire/request.js';
import * as schemas from '../wire/schemas.js';
import type { BodyKind } from './body.js';

/** Who calls a method, and whom. */
interface Call {
  readonly engine: Engine;
  readonly caller: Caller;
  readonly change: Change | undefined;
  /** For values in the answer. */
  readonly room: AnswerRoom;
}

/** One of setec's methods. */
export interface SetecMethod {
  readonly bodyKind: BodyKind;
  /** Whoever comes with a proof needs one of this very request. */
  readonly changes: boolean;
  /** JSON, or undefined for `304 Not Modified`. */
  readonly answer: (body: Buffer, call: Call) => Promise<string | undefined>;
}

/** setec's API, by method name as it stands in the path `/api/<method>`. */
export const SETEC_METHODS: Readonly<Record<string, SetecMethod>> = {
  list: method(schemas.listRequest, async (_request, { engine, caller }) =>
    secretList(await engine.list(caller)),
  ),

  info: method(schemas.infoRequest, async (request, { engine, caller }) =>
    secretInfo(await engine.info(caller, request.Name)),
  ),

  get: method(schemas.getRequest, async (request, { engine, caller, room }) => {
    const { Name, Version, UpdateIfChanged } = request;
    // Without a version there is nothing that could be unchanged: setec ignores the flag.
    const conditional = UpdateIfChanged && Version !== 0;
    const secret = await (conditional
      ? engine.getIfChanged(caller, Name, Version, room)
      : engine.get(caller, Name, Version, room));
    return secret && secretValue(secret);
  }),

  put: change(schemas.putRequest, async (request, { engine, caller, change }) => {
    const { Name, Value } = request;
    return String(await wiping(Value, engine.put(caller, Name, Value, change)));
  }),

  'create-version': change(schemas.createVersionRequest, async (request, { engine, caller, change }) => {
    const { Name, Version, Value } = request;
    await wiping(Value, engine.createVersion(caller, Name, Version, Value, change));
    return '{}';
  }),

  activate: change(schemas.activateRequest, async (request, { engine, caller, change }) => {
    await engine.activate(caller, request.Name, request.Version, change);
    return '{}';
  }),

  'delete-version': change(schemas.deleteVersionRequest, async (request, { engine, caller, change }) => {
    await engine.deleteVersion(caller, request.Name, request.Version, change);
    return '{}';
  }),

  delete: change(schemas.deleteRequest, async (request, { engine, caller, change }) => {
    await engine.delete(caller, request.Name, change);
    return '{}';
  }),
};

type Answer<Schema extends z.ZodObject> = (
  request: z.output<Schema>,
  call: Call,
) => Promise<string | undefined>;

function change<Schema extends z.ZodObject>(schema: Schema, answer: Answer<Schema>): SetecMethod {
  return { ...method(schema, answer), changes: true };
}

function method<Schema extends z.ZodObject>(schema: Schema, answer: Answer<Schema>): SetecMethod {
  const read = setecReader(schema);
  return {
    bodyKind: 'Value' in schema.shape ? 'value' : 'name',
    changes: false,
    answer: (body, call) => answer(read(body), call),
  };
}

async function wiping<T>(value: Buffer, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } finally {
    value.fill(0);
  }
}
