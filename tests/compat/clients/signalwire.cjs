// SignalWire's own client: node signalwire.cjs SPACE ACCOUNT TOKEN OTHER; does what its users do, and prints what came of it.
"use strict";
const { RestClient } = require("@signalwire/compatibility-api");

async function main([space, account, token, other]) {
  const client = new RestClient(account, token, { signalwireSpaceUrl: space });
  const sent = await client.messages.create({ to: "+15005550006", from: "+15005550001", body: "first" });
  for (const body of ["second", "third"]) await client.messages.create({ to: "+447400123456", body });
  const read = await client.messages(sent.sid).fetch();
  const listed = await client.messages.list({ pageSize: 2 });
  const british = await client.messages.list({ to: "+447400123456", limit: 1 });
  const refusals = [];
  for (const call of [
    () => client.messages.create({ to: "nobody", body: "lost" }),
    () => client.messages(other).fetch(),
    () => new RestClient(account, "wrong", { signalwireSpaceUrl: space }).messages.list(),
  ]) {
    await call().then(
      () => refusals.push("none"),
      (error) => refusals.push([error.constructor.name, error.status, error.code]),
    );
  }
  const { sid, to, from, body, status, dateCreated } = read;
  console.log(JSON.stringify({ sent: sent.sid, read: { sid, to, from, body, status, dateCreated }, listed: listed.map((one) => one.to), british: british.length, refusals }));
}

main(process.argv.slice(2));
