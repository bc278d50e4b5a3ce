/** Finding people as one types: a request when the typing pauses, and never an old answer over a newer one. */

import { useEffect, useState } from "preact/hooks";
import { client, me } from "../state.js";

const PAUSE_MS = 200;
export const LEAST_CHARS = 2;

/**
 * @param {string} query
 * @returns {{state: "idle" | "searching" | "done" | "failed", people: import("../../sdk/types.js").User[], error: unknown}} `idle` below two
 *   characters; `people` without oneself, those of the last answer while the next one is awaited
 */
export function usePeopleSearch(query) {
  const [result, setResult] = useState({ state: "idle", people: [], error: null });
  const wanted = query.trim();
  useEffect(() => {
    if ([...wanted].length < LEAST_CHARS) {
      setResult({ state: "idle", people: [], error: null });
      return undefined;
    }
    let isCurrent = true;
    setResult((old) => ({ ...old, state: "searching" }));
    const timer = setTimeout(async () => {
      let next;
      try {
        const people = await client.searchUsers(wanted);
        next = { state: "done", people: people.filter((user) => user.id !== me.peek()?.id), error: null };
      } catch (error) {
        next = { state: "failed", people: [], error };
      }
      if (isCurrent) setResult(next);
    }, PAUSE_MS);
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [wanted]);
  return result;
}
