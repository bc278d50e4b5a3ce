/** What a page does besides what one sees at first: started when the first paint is over. */

import { keepPage } from "./kept-page.js";
import { installNotifications } from "./notifications.js";
import { installTooltips } from "./ui/tooltip.js";

export function startAfterwards() {
  installNotifications();
  installTooltips();
  keepPage();
}
