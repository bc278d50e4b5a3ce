/** The keys that hold in an open chat, for the sheet that lists all shortcuts. */

export const CONVERSATION_SHORTCUTS = {
  title: "conversation.shortcut.title",
  shortcuts: [
    { keys: ["Enter"], text: "conversation.shortcut.send" },
    { keys: ["Shift", "Enter"], text: "conversation.shortcut.newLine" },
    { keys: ["↑"], text: "conversation.shortcut.editLast" },
    { keys: ["Shift", "Tab"], text: "conversation.shortcut.toMessages" },
    { keys: ["↑", "↓"], text: "conversation.shortcut.move" },
    { keys: ["Home", "End"], text: "conversation.shortcut.ends" },
    { keys: ["Enter"], text: "conversation.shortcut.actions" },
    { keys: ["Esc"], text: "conversation.shortcut.toComposer" },
  ],
};
