// Lists the tools of a Throughline MCP server and gets the brief of one ticket, with the
// SDK that coding agents use. Prints one JSON object and exits 0; anything missing is an
// error on stderr and exit 1.
//
//   node client.mjs http URL TOKEN TICKET
//   node client.mjs stdio TICKET COMMAND [ARG...]
//
// With --wait-for-update it also subscribes to the ticket's brief, prints a line
// {"subscribed": URI} and waits (60 seconds at most) to be told that it was revised.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { ResourceUpdatedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";

const args = process.argv.slice(2);
const waiting = args.includes("--wait-for-update");
if (waiting) args.splice(args.indexOf("--wait-for-update"), 1);

function transport() {
  const [how, ...rest] = args;
  if (how === "http" && rest.length === 3) {
    const [url, token, ticket] = rest;
    return { ticket, over: new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } }) };
  }
  if (how === "stdio" && rest.length >= 2) {
    const [ticket, command, ...more] = rest;
    return { ticket, over: new StdioClientTransport({ command, args: more, env: process.env, stderr: "inherit" }) };
  }
  throw new Error("usage: client.mjs http URL TOKEN TICKET | stdio TICKET COMMAND [ARG...]");
}

async function main() {
  const { ticket, over } = transport();
  const client = new Client({ name: "throughline-check", version: "1.0.0" });
  let told;
  const update = new Promise((resolve) => { told = resolve; });
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, (n) => told(n.params.uri));
  await client.connect(over);
  try {
    const { tools } = await client.listTools();
    const answer = await client.callTool({ name: "get_ticket_context", arguments: { ticket } });
    if (answer.isError) throw new Error(`get_ticket_context: ${answer.content[0].text}`);
    const { tracker, key } = answer.structuredContent.ticket;
    const uri = `throughline://tickets/${tracker}/${encodeURIComponent(key)}/brief`;
    const brief = await client.readResource({ uri });
    let updated;
    if (waiting) {
      await client.subscribeResource({ uri });
      console.log(JSON.stringify({ subscribed: uri }));
      let timer;
      const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error("no update within 60 seconds")), 60000); });
      updated = await Promise.race([update, late]);
      clearTimeout(timer);
    }
    console.log(JSON.stringify({
      server: client.getServerVersion(),
      tools: tools.map((t) => t.name),
      revision: answer.structuredContent.revision,
      as_of: answer.structuredContent.as_of,
      lag_ms: answer.structuredContent.lag_ms,
      text: answer.content[0].text,
      brief: brief.contents[0].text,
      updated,
    }));
  } finally {
    await client.close();
  }
}

main().catch((err) => {
  console.error(err.message);
  process.exitCode = 1;
});
