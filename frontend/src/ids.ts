/** A fresh UUIDv7: 48 bits of milliseconds, then random bits. Works on pages without TLS, where randomUUID is missing. */
export function uuid7(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  let milliseconds = Date.now();
  for (let index = 5; index >= 0; index--) {
    bytes[index] = milliseconds % 256;
    milliseconds = Math.floor(milliseconds / 256);
  }
  bytes[6] = (bytes[6]! & 15) | 112;
  bytes[8] = (bytes[8]! & 63) | 128;
  const hex = Array.from(bytes, (byte) => (byte + 256).toString(16).slice(1)).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

const IDLE = 30 * 60 * 1000; // a session ends after this many milliseconds without an event
const KEY = "_ml_session";
let inMemory = "";

/** The session's id, shared by the tabs of this browser; kept in memory where storage is refused. */
export function sessionId(): string {
  const now = Date.now();
  let stored = inMemory;
  try {
    stored = localStorage.getItem(KEY) || stored;
  } catch {
    // storage is blocked: this page is its own session
  }
  const [id, last] = stored.split("|");
  const current = id && now - Number(last) < IDLE ? id : uuid7();
  inMemory = current + "|" + now;
  try {
    localStorage.setItem(KEY, inMemory);
  } catch {
    // blocked or full, as above
  }
  return current;
}

/** The id the server gave this page view (`Server-Timing: ml;desc="..."`), else a fresh one. */
export function pageViewId(): string {
  const [entry] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  const timing = entry && entry.serverTiming && entry.serverTiming.find((one) => one.name === "ml");
  return (timing && timing.description) || uuid7();
}
