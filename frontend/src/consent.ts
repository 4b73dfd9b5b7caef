import { options } from "./page";

export type Consent = "granted" | "denied" | "pending";

const AGE = 395 * 86400; // lifetime of the cookie, seconds

let chosen: Consent | undefined; // where the cookie cannot be kept

let ruling: Consent | undefined; // the server's word, where it knows better

export const rule = (state?: Consent): unknown => (ruling = state);

const cookieName = (): string => options.consentCookie || "_ml_consent";

/** What the visitor said on this site; undefined where nothing was said. */
export function said(): Consent | undefined {
  try {
    return `; ${document.cookie};`.match(`; ${cookieName()}=(granted|denied);`)![1] as Consent;
  } catch {
    return chosen; // no such cookie, or a sandboxed page, which has none
  }
}

/** What holds now; asked anew each time, as the visitor may decide in another tab. */
export const consent = (): Consent =>
  said() ||
  ((navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl && options.gpc !== "off"
    ? "denied"
    : ruling || (options.consent === "required" ? "pending" : "granted"));

export const allowed = (): boolean => consent() === "granted";

/** Keep what the visitor said. */
export function keep(state: Consent): void {
  chosen = state;
  const secure = location.protocol === "https:" ? ";secure" : "";
  document.cookie = `${cookieName()}=${state};path=/;max-age=${AGE};samesite=lax${secure}`;
}
