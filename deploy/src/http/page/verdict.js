// The answer at a glance: does it keep up, and if not, why.

/** A record that is older is not just on its way. */
const LATE_SECONDS = 30;

/** Tone and sentence, of the worst that is known. */
function judge({ statistics, replicas, accountingOfAll, diagnostics, now }) {
  const { difference } = accountingOfAll.total;
  if (difference !== 0) {
    return ["bad", "Not all is accounted for", `${number(difference)} records that were read are in no term of the account. This is a bug: report it.`];
  }
  const worst = worstSpout(statistics.lag);
  const { reasons } = diagnostics;
  const of = statistics.lag.length > 1 ? `${worst?.spout}: ` : "";
  const said_by = trouble(diagnostics.conditions, statistics, now);
  // What this replica says of itself is no reason for what another one may be kept from.
  const several = replicas.length > 1;
  const why = () => (worst.status === "BACKPRESSURED" && said_by && !several ? said_by : of + worst.reason);
  const head = () => (worst.status === "LOST" ? "Records are lost" : capital(said(worst.status)));
  const status = () => [tone(worst.status), head(), why()];
  if (worst && ["bad", "warn"].includes(tone(worst.status))) return status();
  const silent = statistics.lag.find((one) => one.failure);
  // Each of those is also a reason, in other words.
  const { conditions } = diagnostics;
  const isAllOfLag = reasons.length === conditions.length && conditions.every((one) => one.kind === "lag");
  if (reasons.length > 0 && !(silent && isAllOfLag)) {
    const more = reasons.length > 1 ? ` And ${reasons.length - 1} more, below.` : "";
    return ["warn", "Not as it should be", (several ? "This replica: " : "") + (said_by ?? reasons[0] + more)];
  }
  if (silent && worst.status === "PAUSED") return ["calm", head(), `${why()}. ${silent.failure}.`];
  if (silent) {
    const unknown = silent.lag == null ? "Lag is not known" : "Not everything about the lag is known";
    return ["warn", unknown, `${silent.failure}.${staleness(statistics.lag)}`];
  }
  if (worst && worst.status !== "OK") return status();
  if (!worst) return ["ok", "It runs", "Nothing is wrong. No spout reads Kafka, so there is no lag."];
  const behind = sum(statistics.lag, (one) => one.lag);
  const oldest = longest(statistics.lag, (one) => one.oldest_age_seconds);
  if (behind === 0) return ["ok", "It keeps up", "All records are settled."];
  if (oldest == null) return ["ok", "It keeps up", `${number(behind)} records are on their way.`];
  if (oldest < 1) return ["ok", "It keeps up", "Records are settled within a second."];
  const onTheirWay = `${number(behind)} records are on their way, the oldest for ${time(oldest)}`;
  // The status becomes SLOW once that has lasted for minutes.
  const isLate = (one) => one.eta_seconds === "never" && one.oldest_age_seconds >= LATE_SECONDS;
  const stays = statistics.lag.some((spout) => (spout.partitions.length > 0 ? spout.partitions.some(isLate) : isLate(spout)));
  if (stays) return ["calm", "It does not catch up", `${onTheirWay}, and at these rates that does not become less.`];
  return ["ok", "It keeps up", `${onTheirWay}.`];
}

/** What spouts and bolts are kept from, by the word of their condition. */
const KEPT_FROM = {
  connecting: "cannot connect", connection: "cannot connect", restarting: "restarting", held: "held up", refused: "refused",
  writing: "cannot write", reading: "cannot read", failing: "cannot start", uncommitted: "cannot commit",
};

/** What has been wrong for longest, since when, and with whom: in a sentence. Null while nothing is. */
function trouble(conditions, { spouts, bolts }, now) {
  if (conditions.length === 0) return null;
  const [first, ...others] = [...conditions].sort((a, b) => Date.parse(a.since) - Date.parse(b.since));
  const same = others.filter((one) => one.kind === first.kind).map((one) => one.component);
  const names = [first.component, ...same].filter((name, place, all) => all.indexOf(name) === place);
  const kind = spouts.some((one) => one.spout === first.component) ? "spout" : bolts.some((one) => one.bolt === first.component) ? "bolt" : "";
  const who = capital(`${kind}${kind && names.length > 1 ? "s" : ""} ${names.join(", ")}`.trim());
  const lasts = time(Math.max(0, (now - Date.parse(first.since)) / 1000));
  const more = others.length > same.length ? ` And ${others.length - same.length} more, below.` : "";
  return `${who} ${KEPT_FROM[first.kind] ?? `(${first.kind})`}, for ${lasts}: ${plain(first.text)}.${more}`;
}

/** An error without what only programmers read in it. */
function plain(text) {
  return text.replaceAll("tcp connect error: ", "").replaceAll(/ \(os error \d+\)/g, "").replaceAll(/ \(\d+ times in a row\)/g, "");
}

/** How old figures of lag are, where that matters: they are asked for every 5 s. */
function staleness(lag) {
  const ages = lag.flatMap((spout) => spout.partitions.map((one) => one.sampled_age_seconds ?? 0));
  const oldest = Math.max(0, ...ages);
  return oldest > 15 ? ` The offsets shown are ${time(oldest)} old.` : "";
}

/**
 * Age of the look at the offsets, in seconds, where all that it found behind is settled by now: the oldest record
 * that is not came later. Null otherwise.
 */
function settledSince(lag) {
  const all = lag.flatMap((spout) => spout.partitions);
  if (all.some((one) => one.lag == null)) return null;
  const partitions = all.filter((one) => one.lag > 0);
  const since = partitions.every(({ oldest_age_exactness: exactness, oldest_age_seconds: age, sampled_age_seconds: looked }) =>
    (exactness === "exact" ? age > 0 && age < looked : age === 0));
  return partitions.length > 0 && since ? Math.max(...partitions.map((one) => one.sampled_age_seconds)) : null;
}

function worstSpout(spouts) {
  const order = ["ok", "calm", "warn", "bad"];
  const rank = (spout) => order.indexOf(tone(spout.status)) * 2 + (spout.status === "OK" ? 0 : 1);
  return spouts.reduce((worst, spout) => (!worst || rank(spout) > rank(worst) ? spout : worst), null);
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function sum(of, figure) {
  return of.reduce((total, one) => (total == null || figure(one) == null ? null : total + figure(one)), 0);
}

/** Those with the same key together, in the order in which keys come up. */
function groupedBy(all, key) {
  const groups = new Map();
  all.forEach((one) => groups.set(key(one), [...(groups.get(key(one)) ?? []), one]));
  return [...groups.values()];
}

function longest(of, figure) {
  const values = of.map(figure);
  if (values.some((value) => value == null)) return null;
  if (values.includes("never")) return "never";
  // Where nothing is to be caught up nobody waits; a spout that is caught up is 0 s behind.
  const seconds = values.filter((value) => typeof value === "number");
  if (values.includes("steady") && !seconds.some((value) => value > 0)) return "steady";
  return seconds.length ? Math.max(...seconds) : null;
}

function tiles({ statistics, replicas, answering, accountingOfAll, diagnostics }) {
  const { lag, process } = statistics;
  const spouts = answering.flatMap((one) => one.statistics.spouts);
  const several = replicas.length > 1;
  const known = answering.length < replicas.length ? ", of those that answer" : "";
  const held = answering.find((one) => one.statistics.bottleneck);
  const bottleneck = held?.statistics.bottleneck;
  const oldest = lag.reduce((worst, one) => (one.oldest_age_seconds > (worst?.oldest_age_seconds ?? -1) ? one : worst), null);
  const ages = longest(lag, (one) => one.oldest_age_seconds);
  const bound = diagnostics.plan.memory.total;
  // Without a figure, what was settled took longer than the histogram reaches.
  const settling = spouts.filter((one) => one.settled_records > 0);
  const most = longest(settling, (one) => one.most_within_seconds);
  const settledWithin = settling.length === 0 ? "–" : most == null ? "> 1 d" : `≤ ${time(most)}`;
  const shown = [
    ["Read", `${rate(sum(spouts, (one) => one.records_per_second))} /s`, `${number(accountingOfAll.total.read)} since the start${known}`],
    ["In flight", number(sum(spouts, (one) => one.in_flight_records)), `of ${number(sum(spouts, (one) => one.in_flight_records_max))} at most${known}`],
    ["End to end", settledWithin, (settling.length === 0 ? "nothing settled just now" : "99 % of the last 10 s") + known],
    ["Memory", bytes(process.resident_bytes), `of ${bytes(bound)} at most${several ? ", this replica" : ""}`],
    ["Bottleneck", bottleneck?.bolt ?? "none", bottleneck ? (several ? `${held.address}: ` : "") + bottleneck.reason : `nothing holds records up${known}`],
  ];
  if (lag.length > 0) {
    const eta = longest(lag, (one) => one.eta_seconds);
    const behind = sum(lag, (one) => one.lag);
    const ways = { never: "never caught up, at these rates", steady: "steady" };
    // A burst, or the first look after a stall, is not told by its rates.
    const isLate = ages == null || ages >= LATE_SECONDS || lag.some((one) => one.status !== "OK");
    const rest = eta === "never" && !isLate ? "on their way" : ways[eta] ?? `caught up in ${age(eta, "sampled")}`;
    const caughtUp = behind === 0 ? "caught up" : ages < 1 && ages != null ? "all of the last second" : rest;
    const since = settledSince(lag);
    shown.unshift(
      since == null
        ? ["Behind", number(behind), caughtUp]
        : ["Behind", number(accountingOfAll.total.in_flight), `in flight; caught up since the look ${time(since)} ago`],
      ["Oldest", ages == null ? UNKNOWN : age(ages, oldest?.oldest_age_exactness), "age of the oldest record not settled"],
      headroomTile(lag),
    );
  }
  return shown;
}

/** Whether something is about to be lost, of the spout that is nearest to it, and how much was. */
function headroomTile(lag) {
  const behind = lag.filter((one) => one.lag !== 0);
  const seconds = (one) => (one.headroom_seconds === "never" ? Number.MAX_VALUE : one.headroom_seconds);
  const [nearest] = [...behind].sort((a, b) => seconds(a) - seconds(b));
  const isKnown = behind.length === 1 || behind.every((one) => one.headroom_seconds != null);
  const lost = sum(lag, (one) => one.lost);
  const note = lost > 0 ? `up to ${number(lost)} records were lost` : "until something is deleted unread";
  return ["Headroom", !nearest ? "–" : isKnown ? headroom(nearest) : UNKNOWN, note];
}

function showVerdict(into, state) {
  const [how, head, text] = judge(state);
  const banner = part(into, "div", "banner");
  set(banner, { "data-tone": how });
  write(part(banner, "h2", "head"), head);
  write(part(banner, "p", "text"), text);
  const list = part(into, "dl", "tiles");
  tiles(state).forEach(([name, value, note]) => {
    const id = `tile-${name.toLowerCase().replaceAll(" ", "-")}`;
    const tile = part(list, "div", id);
    tile.classList.add("tile");
    write(part(tile, "dt", "name"), name);
    writeName(part(tile, "dd", "value"), value);
    write(part(tile, "dd", "note"), note);
    set(tile, { title: note });
  });
}
