// Paddle's own library against ours, in both directions.
//
//   node webhooks.mjs PACKAGES URL SECRET < events
//
// PACKAGES is the directory that the library was installed into. Each line of the
// input is {"body", "signature"}, made by our signer: the library has to believe
// it, and to read from it what we read. Then the same bodies are signed here, and
// the gate at URL has to believe that. Prints a line of JSON for each; the exit
// code is 0 only where all agree.
import { createHmac } from 'node:crypto';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';

const [packages, url, secret] = process.argv.slice(2);
const require = createRequire(resolve(packages, 'package.json'));
const { Paddle, LogLevel } = require('@paddle/paddle-node-sdk');
// No call is made, so no key is needed.
const { webhooks } = new Paddle('none', { logLevel: LogLevel.none });

// As the library computes it: HMAC-SHA256 over `ts:body`, in hexadecimal digits.
const sign = (body) => {
  const ts = Math.floor(Date.now() / 1000);
  return `ts=${ts};h1=${createHmac('sha256', secret).update(`${ts}:${body}`).digest('hex')}`;
};

// What credits depend on, by the library's names.
const period = (value) => value && [value.startsAt, value.endsAt];
const meaning = ({ eventId, eventType, occurredAt, data }) => ({
  eventId,
  eventType,
  occurredAt,
  id: data.id,
  status: data.status,
  customer: data.customerId,
  origin: data.origin,
  action: data.action,
  transaction: data.transactionId,
  subscription: data.subscriptionId,
  currency: data.currencyCode,
  period: period(data.billingPeriod ?? data.currentBillingPeriod),
  change: data.scheduledChange?.action,
  total: data.details?.totals?.total,
  lines: data.details?.lineItems?.map((line) => [line.id, line.priceId, line.quantity, line.totals.total]),
  prices: data.details ? undefined : data.items?.map((item) => item.price?.id).filter(Boolean),
  adjusted: data.action && data.items.map((item) => [item.itemId, item.totals.total]),
});

let failures = 0;
const expect = (what, found, wanted) => {
  if (found === wanted) return;
  failures += 1;
  console.error(`${what}: ${found}, not ${wanted}`);
};
for (const line of (await text(process.stdin)).split('\n').filter(Boolean)) {
  const { body, signature } = JSON.parse(line);
  expect('our signature', await webhooks.isSignatureValid(body, secret, signature), true);
  expect('another body', await webhooks.isSignatureValid(`${body} `, secret, signature), false);
  expect('another secret', await webhooks.isSignatureValid(body, `${secret}x`, signature), false);
  const event = await webhooks.unmarshal(body, secret, signature);

  const mine = sign(body);
  expect('my signature', await webhooks.isSignatureValid(body, secret, mine), true);
  const post = async (sent, by) =>
    (await fetch(url, { method: 'POST', headers: { 'Paddle-Signature': by }, body: sent })).status;
  expect('the gate', await post(body, mine), 200);
  expect('the gate, of another body', await post(`${body} `, mine), 401);
  console.log(JSON.stringify(meaning(event)));
}
process.exit(failures ? 1 : 0);
