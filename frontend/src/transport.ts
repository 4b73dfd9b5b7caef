import { uuid7 } from "./ids";
import type { WireEvent } from "./types";

const BATCH = 10; // events of one request
const WAIT = 5000; // longest time an event waits, milliseconds
const KEPT = 200; // events kept while the server cannot take them
const KEEPALIVE = 60000; // a browser refuses a keepalive body beyond 64 KiB, in bytes

/** Gathers events into batches and posts them. */
export class Transport {
  private waiting: WireEvent[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly url: string) {}

  /** Take an event; it leaves with the batch, or at once. */
  add(event: WireEvent, now = false): void {
    this.waiting.push(event);
    if (now || this.waiting.length >= BATCH) this.flush();
    else this.schedule(WAIT);
  }

  /** The event of this id, while it has not left. */
  find(id: string): WireEvent | undefined {
    return this.waiting.find((event) => event.event_id === id);
  }

  /** Send what waits. `leaving`: the page may be gone before an answer comes. */
  flush(leaving = false): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    // Taken out first: what a send puts back waits for the next time.
    const due = this.waiting.splice(0);
    while (due.length) this.send(due.splice(0, BATCH), leaving);
  }

  private schedule(wait: number): void {
    if (this.timer === undefined) this.timer = setTimeout(() => this.flush(), wait);
  }

  private send(events: WireEvent[], leaving: boolean): void {
    const body = JSON.stringify({
      events,
      meta: { batch_id: uuid7(), sent_at: new Date().toISOString(), schema: 1 },
    });
    const again = (wait: number): void => {
      // The ids stay, so an event that did arrive is not counted twice.
      this.waiting = events.concat(this.waiting).slice(0, KEPT);
      this.schedule(wait);
    };
    const failed = (): void => {
      // The last resort: the browser itself takes the body over. Its false means that it did not.
      if (!(leaving && navigator.sendBeacon && navigator.sendBeacon(this.url, body))) again(WAIT);
    };
    try {
      fetch(this.url, {
        method: "POST",
        body,
        headers: { "Content-Type": "application/json" },
        credentials: "same-origin",
        keepalive: new Blob([body]).size < KEEPALIVE,
      }).then((answer) => {
        // Until its body is read, the browser holds the request, and its share of the keepalive bytes, open.
        answer.text().catch(() => undefined);
        if (answer.status === 429 || answer.status >= 500) {
          again(Math.max(WAIT, Number(answer.headers.get("Retry-After")) * 1000 || 0));
        }
      }, failed);
    } catch {
      failed();
    }
  }
}
