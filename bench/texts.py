"""What people might have written: English and Vietnamese, about a hundred characters, the same in every run.

Compression makes of it what it makes of real texts. There are ten thousand, many more than a store compresses
together.
"""

from __future__ import annotations

import random
from functools import cache

COUNT = 10_000
MEAN_CHARACTERS = 100
_SEED = 20
_ENGLISH = """
the a and to of in is it you that for on with was as be this have at not are but we they he she from or
by one had what all were when there can an your said which do if will each about how up out them then
many some so her would make like him into time has look two more write go see number no way could people
my than first been call who oil its now find long down day did get come made may part over new sound take
only little work know place year live me back give most very after thing our just name good sentence man
think say great where help through much before line right too mean old any same tell boy follow came want
show also around form three small set put end does another well large must big even such because turn
here why ask went men read need land different home us move try kind hand picture again change off play
spell air away animal house point page letter mother answer found study still learn should tomorrow
meeting thanks lunch train ticket coffee sorry yesterday evening weekend build server review deploy
"""
_VIETNAMESE = """
và của là có được cho không một người này trong đã với những các đến khi về để như ra thì đang sẽ nhưng
nhiều lại vào cũng rất mình bạn tôi anh chị em nhà làm đi ăn cơm nước ngày mai hôm nay tối sáng chiều giờ
phút công việc họp xong rồi chưa cảm ơn xin lỗi vui buồn đẹp tốt lắm quá biết nghĩ nói hỏi trả lời gửi
nhận tin nhắn điện thoại đường phố xe máy trường học sinh viên sách vở bài tập gia đình mẹ bố con trai
gái ông bà thành phố quê hương trời mưa nắng gió biển núi sông cá thịt rau quả trái cây chợ tiền mua bán
rẻ đắt mới cũ lớn nhỏ nhanh chậm gần xa trước sau trên dưới giữa bên cạnh ngoài cuối tuần tháng năm thời
gian cùng nhau gặp chờ đợi
"""


@cache
def list_texts() -> tuple[str, ...]:
    """All of them, by number."""
    choose = random.Random(_SEED)
    return tuple(_write(choose) for _ in range(COUNT))


def get_text(seq: int) -> str:
    """Of the message with this seq."""
    return list_texts()[seq % COUNT]


def _write(choose: random.Random) -> str:
    """A few sentences. Most messages are short, and a few are long."""
    words = (_VIETNAMESE if choose.random() < 0.5 else _ENGLISH).split()
    length = min(1_000, max(2, round(choose.expovariate(1 / MEAN_CHARACTERS))))
    text = ""
    while len(text) < length:
        sentence = " ".join(choose.choices(words, k=choose.randint(3, 14))).capitalize()
        text += sentence + choose.choice((". ", "? ", "! ", ", 🙂 ", ". ", ". "))
    return text[:length].strip() or "ok"
