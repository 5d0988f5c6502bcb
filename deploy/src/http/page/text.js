// Figures in words. What is not known is "?", never 0.

const UNKNOWN = "?";
const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

function number(value) {
  return value == null ? UNKNOWN : grouped.format(value);
}

function rate(perSecond) {
  if (perSecond == null) return UNKNOWN;
  return perSecond > 0 && perSecond < 10 ? perSecond.toFixed(1) : number(Math.round(perSecond));
}

/** A length of time, in seconds, as people say it. */
function time(seconds) {
  if (seconds == null) return UNKNOWN;
  if (typeof seconds === "string") return seconds;
  const whole = Math.floor(seconds);
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : whole} s`;
  if (seconds < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (seconds < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** An age, or another length of time; `~` before an estimate, `≤` before an upper bound. */
function age(seconds, exactness) {
  const about = { sampled: "~", upper_bound: "≤" }[exactness];
  return (seconds > 0 && about ? about : "") + time(seconds);
}

/** A number of records, `≤` before an upper bound. */
function records(count, exactness) {
  return (count > 0 && exactness === "upper_bound" ? "≤" : "") + number(count);
}

function bytes(value) {
  if (value == null) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

function percent(share) {
  return share == null ? UNKNOWN : `${Math.round(share * 100)} %`;
}

function clock(ms, withSeconds) {
  const parts = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  return new Date(ms).toLocaleTimeString("en-GB", withSeconds ? { ...parts, second: "2-digit" } : parts);
}

/** How a status is to be taken: ok, calm, warn or bad. */
function tone(status) {
  return {
    OK: "ok", CATCHING_UP: "calm", PAUSED: "calm", REWOUND: "calm", NO_DATA: "calm",
    SLOW: "warn", BACKPRESSURED: "warn", LSO_BLOCKED: "warn",
    STALLED: "bad", HELD: "bad", LOST: "bad",
  }[status] ?? "warn";
}

/** A status as a person reads it. */
function said(status) {
  return status === "OK" || status === "LSO_BLOCKED" ? status.replace("_", " ") : status.toLowerCase().replaceAll("_", " ");
}

/** How full something is that should not be full. */
function fillTone(share) {
  if (share == null) return "calm";
  return share >= 0.9 ? "bad" : share >= 0.5 ? "warn" : "ok";
}
