// Engaged time: the page is visible, has the focus, and somebody touched it within the last half minute.
import { beginnings, endings, hidden, listen, options } from "./page";
import type { Recorder } from "./types";

const IDLE = 30000; // milliseconds
const BARELY = 100; // less new time is no news, milliseconds

export function watchEngagement(record: Recorder): void {
  if (options.engagement === "off") return;
  let engaged = 0; // milliseconds
  let sent = 0; // of them
  let depth = 0; // percent of the page that came into view
  let lowest = 0; // pixels
  let counted = 0; // the time up to which was counted
  let input = 0; // time of the last input
  let counting = false;

  const count = (): void => {
    const now = performance.now();
    if (counting) engaged += Math.max(0, Math.min(now, input + IDLE) - counted);
    counted = now;
    counting = !hidden() && document.hasFocus();
  };
  listen("focus blur visibilitychange", count);
  listen("pointerdown pointermove keydown scroll", () => {
    count();
    input = counted;
    lowest = Math.max(lowest, scrollY);
  });

  beginnings.push(() => {
    count();
    engaged = depth = lowest = 0;
    input = counted;
  });
  // A page may be left and come back to: what is sent then is again the sum, of this page view.
  endings.push(() => {
    count();
    const before = depth;
    const share = (Math.max(lowest, scrollY) + innerHeight) / document.documentElement.scrollHeight;
    depth = Math.max(depth, Math.min(100, Math.round(share * 100)));
    if (depth > before || engaged - sent > BARELY) {
      sent = engaged;
      record("page_engagement", { engaged_ms: Math.round(engaged), scroll_pct: depth });
    }
  });
}
