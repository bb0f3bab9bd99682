/** One line per check, then `N passed, N failed` alone on a line. */
export default async function* report(events) {
  const count = { pass: 0, fail: 0 };
  for await (const { type, data } of events) {
    if (type !== "test:pass" && type !== "test:fail") continue;
    const outcome = type.slice("test:".length);
    count[outcome] += 1;
    yield `${outcome === "pass" ? "ok  " : "FAIL"} ${data.name} (${Math.round(data.details.duration_ms)} ms)\n`;
    if (outcome === "fail") yield `${data.details.error.cause?.stack ?? data.details.error.message}\n`;
  }
  yield `${count.pass} passed, ${count.fail} failed\n`;
}
