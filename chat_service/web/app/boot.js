/*
 * Runs before the first paint, so it is a classic script without imports: puts the chosen theme and language
 * on the root, so that nothing flashes, and says whether somebody was signed in here, so that the static
 * skeleton of the shell is drawn only for them. The keys are those of preferences.js.
 */
(() => {
  const root = document.documentElement;
  const read = (key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  };
  const theme = read("chat.theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  root.dataset.boot = read("chat.signed-in") === "yes" ? "shell" : "blank";

  const wished = [read("chat.language"), ...(navigator.languages ?? [])];
  const language = wished.map((one) => one?.toLowerCase().split("-")[0]).find((one) => one === "en" || one === "vi") ?? "en";
  root.lang = language;
  // The words are imported by name at run time, so nobody else can know which file to ask for early.
  // A script that does not arrive would leave the skeleton for ever.
  addEventListener(
    "error",
    (event) => {
      if (event.target instanceof HTMLScriptElement) document.getElementById("boot-failed")?.removeAttribute("hidden");
    },
    true,
  );

  const link = document.createElement("link");
  link.rel = "modulepreload";
  const script = /** @type {HTMLScriptElement} */ (document.currentScript);
  link.href = new URL(`../i18n/${language}.js`, script.src).href;
  document.head.append(link);
})();
