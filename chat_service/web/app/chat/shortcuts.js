/** The keys that hold in an open chat, for the sheet that lists all shortcuts. */

export const CHAT_SHORTCUTS = {
  title: "chat.shortcut.title",
  shortcuts: [
    { keys: ["Enter"], text: "chat.shortcut.send" },
    { keys: ["Shift", "Enter"], text: "chat.shortcut.newLine" },
    { keys: ["↑"], text: "chat.shortcut.editLast" },
    { keys: ["Shift", "Tab"], text: "chat.shortcut.toMessages" },
    { keys: ["↑", "↓"], text: "chat.shortcut.move" },
    { keys: ["Home", "End"], text: "chat.shortcut.ends" },
    { keys: ["Enter"], text: "chat.shortcut.actions" },
    { keys: ["Esc"], text: "chat.shortcut.toComposer" },
  ],
};
