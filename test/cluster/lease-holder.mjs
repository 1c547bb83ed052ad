/**
 * A process that wants a lease: `node lease-holder.mjs URL BUCKET WORK INSTANCE`, forked. It hears nothing of others, and says
 * `{held}` every few milliseconds, before it does anything else.
 */
import { connect } from '@nats-io/transport-node';

import { Layout } from '../../packages/engine/dist/storage/jetstream/layout.js';
import { Leases } from '../../packages/engine/dist/storage/jetstream/leases.js';

const [, , url, bucket, work, instance] = process.argv;
const connection = await connect({ servers: url, maxReconnectAttempts: -1 });
const leases = new Leases({ layout: new Layout(bucket), link: { connection }, instance, age: () => 0 });
leases.start();
const lease = leases.lease(work);
setInterval(() => process.send({ held: lease.held }), 5);
process.on('disconnect', () => process.exit());
