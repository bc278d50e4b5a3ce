/**
 * Put into the page before its own scripts: notes when something was on screen, with the browser's own clock
 * and performance entries. It knows the client by what people see: links to chats and texts of messages.
 */
(() => {
  const channel = new MessageChannel();
  const waiting = [];
  channel.port1.onmessage = () => waiting.splice(0).forEach((resolve) => resolve(performance.now()));

  /** Resolves when the next frame has been drawn. */
  function nextFrame() {
    return new Promise((resolve) => {
      requestAnimationFrame(() => {
        waiting.push(resolve);
        channel.port2.postMessage(null);
      });
    });
  }

  /** Marks `name` in the first frame that shows what `isThere` looks for. */
  function markWhen(name, isThere) {
    return new Promise((resolve) => {
      const look = async () => {
        if (!isThere()) return;
        observer.disconnect();
        await nextFrame();
        resolve(performance.mark(name).startTime);
      };
      const observer = new MutationObserver(look);
      observer.observe(document, { childList: true, subtree: true, characterData: true });
      look();
    });
  }

  function isSaid(text) {
    return document.querySelector("main")?.innerText.includes(text) ?? false;
  }

  const longTasks = [];
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) longTasks.push({ startTime, duration });
  }).observe({ type: "longtask", buffered: true });

  window.probe = {
    longTasks,
    /** The list of chats with what is in it: what is useful first. */
    useful: markWhen("useful", () => document.querySelector("a[href*='/chats/']") !== null),
    /** Milliseconds from the next click to the frame that shows `text` at `path`. */
    async opening(path, text) {
      addEventListener("click", (event) => performance.mark("click", { startTime: event.timeStamp }), {
        capture: true,
        once: true,
      });
      await markWhen("opened", () => location.pathname === path && isSaid(text));
      return performance.measure("opening", "click", "opened").duration;
    },
    /** How many frames the page draws from the next Enter until the text stands in it; the very next is 1. */
    sending(text) {
      return new Promise((resolve) => {
        const onKey = async (event) => {
          let frames = 0;
          do {
            await nextFrame();
            frames += 1;
          } while (!isSaid(text) && frames < 600);
          resolve({ frames, ms: performance.now() - event.timeStamp });
        };
        addEventListener("keydown", onKey, { capture: true, once: true });
      });
    },
  };
})();
