/** Form fields: text with its label, hint and error; a switch; one of a few choices. */

import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { t } from "../i18n.js";
import { IconButton } from "./button.js";
import { Icon } from "./icon.js";
import { useUniqueId } from "./unique-id.js";

/**
 * @param {{
 *   label: string, value: string, onInput: (value: string) => void, error?: string | null, hint?: string,
 *   type?: "text" | "email" | "password" | "search" | "tel" | "url", lines?: number, icon?: string,
 *   hideLabel?: boolean, class?: string,
 * } & Record<string, unknown>} props `lines` makes it a text area; the rest goes to the field
 */
export function TextField({ label, value, onInput, error, hint, type = "text", lines, icon, hideLabel, class: className = "", ...rest }) {
  const id = useUniqueId();
  const [revealed, setRevealed] = useState(false);
  const described = [error && `${id}-error`, hint && `${id}-hint`].filter(Boolean).join(" ");
  const control = {
    id,
    class: "field__control",
    value,
    onInput: (event) => onInput(event.currentTarget.value),
    "aria-invalid": error ? "true" : undefined,
    "aria-describedby": described || undefined,
    dir: "auto",
    ...rest,
  };
  return html`<div class=${`field ${error ? "field--wrong" : ""} ${icon ? "field--icon" : ""} ${className}`}>
    <label class=${hideLabel ? "for-screen-reader" : "field__label"} for=${id}>${label}</label>
    <div class="field__box">
      ${icon && html`<${Icon} name=${icon} size=${18} class="field__icon" />`}
      ${lines ? html`<textarea rows=${lines} ...${control}></textarea>` : html`<input type=${revealed ? "text" : type} ...${control} />`}
      ${type === "password" &&
      html`<${IconButton}
        class="field__reveal"
        size="small"
        icon=${revealed ? "eye-off" : "eye"}
        label=${t(revealed ? "field.hidePassword" : "field.showPassword")}
        onClick=${() => setRevealed(!revealed)}
      />`}
    </div>
    ${error && html`<p class="field__error" id=${`${id}-error`}>${error}</p>`}
    ${hint && html`<p class="field__hint" id=${`${id}-hint`}>${hint}</p>`}
  </div>`;
}

/** Its label is read aloud and stands in it while it is empty. @param {{label: string} & Record<string, unknown>} props */
export function SearchField({ label, ...rest }) {
  return html`<${TextField}
    class="field--search"
    icon="search"
    type="search"
    label=${label}
    hideLabel
    placeholder=${label}
    autocomplete="off"
    maxlength="100"
    ...${rest}
  />`;
}

/** @param {{label: string, hint?: string, checked: boolean, disabled?: boolean, onChange: (checked: boolean) => void}} props */
export function Switch({ label, hint, checked, disabled, onChange }) {
  const id = useUniqueId();
  return html`<label class="switch">
    <span class="switch__words">
      <span class="switch__label">${label}</span>
      ${hint && html`<span class="switch__hint" id=${id}>${hint}</span>`}
    </span>
    <input
      class="switch__control"
      type="checkbox"
      role="switch"
      checked=${checked}
      disabled=${disabled}
      aria-describedby=${hint ? id : undefined}
      onChange=${(event) => onChange(event.currentTarget.checked)}
    />
  </label>`;
}

/** @param {{label: string, value: string, hideLabel?: boolean,
 *   options: {value: string, label: string, lang?: string}[], onChange: (value: string) => void}} props */
export function ChoiceList({ label, hideLabel, value, options, onChange }) {
  const name = useUniqueId();
  return html`<fieldset class="choices">
    <legend class=${hideLabel ? "for-screen-reader" : "choices__label"}>${label}</legend>
    <div class="choices__options">
      ${options.map(
        (option) => html`<label class="choice" key=${option.value}>
          <input
            class="choice__control"
            type="radio"
            name=${name}
            checked=${option.value === value}
            onChange=${() => onChange(option.value)}
          />
          <span class="choice__text" lang=${option.lang}>${option.label}</span>
        </label>`,
      )}
    </div>
  </fieldset>`;
}
