"""Made-up sentences, English and Mandarin.

Templates and word lists together have all phonemes of both languages.
"""

from __future__ import annotations

import random
import re

_ENGLISH_WORDS = {
    "person": """
        my brother|your sister|the teacher|our neighbour|the young doctor|a stranger|the baker|
        her cousin|the captain|an old friend|the gardener|my uncle George|the postman|
        that child|the judge|a quiet girl|their father|the nurse|the farmer|somebody|the choir|
        Ruth|Charlie|Josephine|Hugh|Thelma|Victor
    """,
    "thing": """
        a blue jacket|the yellow bicycle|an empty box|the kitchen chair|a loaf of bread|
        the wooden ship|fresh oranges|a thick rope|the garage key|an old photograph|
        the silver spoon|a cup of tea|the measuring tape|two pounds of cheese|the broken watch|
        a leather shoe|the royal flag|a bunch of flowers|the heavy hammer|some warm clothes|
        the final page|a jar of honey|the toy airplane|a piece of chalk|the green umbrella|
        a pair of gloves|the piano|this unusual picture
    """,
    "place": """
        by the river|in the kitchen|near the old church|behind the house|on the beach|
        at the railway station|under the bridge|across the valley|in the north of town|
        beside the lake|at school|in our garden|on the roof|through the thick forest|
        outside the theatre|around the corner|below the mountain|in the museum|
        along the southern shore|at the market
    """,
    "time": """
        this morning|last Thursday|every evening|after lunch|before sunrise|in July|at noon|
        during the storm|a year ago|next week|on Sunday|all through the night|twice a month|
        as usual|at the beginning of spring|for about an hour
    """,
    "did": """
        bought|found|carried|forgot|painted|borrowed|noticed|washed|dropped|hid|measured|chose|
        brought|sold|wanted|destroyed|enjoyed|mentioned|watched|pulled|threw away|asked for|
        looked at|kept|repaired
    """,
    "went": """
        walked|waited|laughed|sang|worked|danced|jumped|slept|argued|whispered|shouted|played|
        rested|breathed deeply|vanished|stood still|ran|cooked|listened|dreamed
    """,
    "quality": """
        beautiful|rather cold|too loud|quite smooth|very strange|almost ready|
        surprisingly cheap|dangerous|soft and warm|younger than before|worth the trouble|
        full of joy|dusty|extremely useful|narrow|better now|brown|a pleasure|huge|pure gold
    """,
    "subject": """
        the weather|the soup|her voice|that road|the music|the village|his new coat|the journey|
        our boat|the whole story|the water|the moon|their choice|the engine|your answer|
        the weather there|this azure glass|the fire|the view
    """,
    "verb": """
        find|carry|fix|paint|share|wash|choose|describe|catch|follow|bring|enjoy|remember|
        thank them for|lose|measure|push|throw|hold|borrow|buy
    """,
    "reason": """
        it was raining|nobody knew the way|the shop was shut|we had plenty of time|
        the dog was barking|the children were asleep|everyone was hungry|the bus came early|
        she had a cough|the ground was rough|they both agreed
    """,
    "plain": """
        lovely|curious|noisy|wild|gentle|foolish|thin|long|charming|bright|cheerful|vague|good|
        wonderful|tiny|dark
    """,
    "noun": """
        day|sound|party|idea|mouth|smile|garden|shadow|fish|bird|vision|toy|house|bear|wolf|
        poem|joke|thought|chair
    """,
}
_ENGLISH_TEMPLATES = """
    {person} {did} {thing} {time}.|{person} {went} {place} {time}.|{subject} is {quality}.|
    {subject} was {quality}, because {reason}.|Did {person} {verb} {thing}?|
    Please {verb} {thing} {place}.|{time}, {person} {did} {thing}.|
    Why would {person} {verb} {thing}?|{person} {went}, since {reason}.|
    I think {subject} is {quality}.|What a {plain} {noun}!|Could you {verb} {thing} {time}?|
    We {did} {thing} {place}.|They {went} {place}.|{subject} looks {quality}, doesn't it?|
    Oh, {person} should {verb} {thing}.|Nobody {went} {place}.|{person} said that {reason}.|
    Don't {verb} {thing} {place}.|You were right, {subject} is {quality}.
"""

_MANDARIN_WORDS = {
    "人": """
        我|你|他们|老师|妈妈|爸爸|小朋友|医生|王先生|李小姐|我们|邻居|哥哥|姐姐|弟弟|妹妹|司机|
        同学|客人|奶奶|农民|律师|军人|船长
    """,
    "物": """
        苹果|自行车|词典|红色的衬衫|热茶|照片|绿色的雨伞|一本书|新鲜的牛奶|钥匙|面包|蓝色的杯子|
        旧报纸|一双鞋|葡萄|橘子|手机|窗帘|地图|筷子|玩具熊|羊肉|玫瑰花|邮票|黄瓜|铅笔|剪刀|棉被|
        瓷碗|月饼
    """,
    "处": """
        公园里|学校门口|河边|火车站|图书馆|厨房里|山上|海边|银行旁边|城市中心|院子里|博物馆|
        桥下|云南|村子里|广场上|森林里|二楼
    """,
    "时": """
        今天早上|昨天晚上|下个星期|每年春天|刚才|去年冬天|明天中午|周末|三月份|上课以后|
        放学的时候|半夜|最近|从前
    """,
    "买": """
        买了|找到了|忘了|借了|喜欢|送来了|看见了|准备了|收拾好了|卖了|拿走了|选择了|摔坏了|
        洗干净了|画了
    """,
    "走": """
        散步|唱歌|跳舞|等车|睡觉|聊天|跑步|工作|休息|钓鱼|读书|拍照|游泳|锻炼身体|喝茶|写作业|
        吵架|骑马
    """,
    "好": """
        很漂亮|非常安静|有点儿冷|特别好吃|太贵了|不太远|真有意思|又大又圆|十分舒服|越来越热|
        热闹极了|干净整齐|完全不同|非常准确
    """,
    "景": """
        天气|那条路|这首歌|外面的风景|他的声音|新房子|今晚的月亮|这个故事|中国菜|湖水|那座山|
        孩子们的画|春天的花|北方的雪
    """,
    "因": """
        外面下雨了|时间还早|大家都饿了|商店关门了|路上堵车|天已经黑了|他感冒了|明天放假|票卖完了
    """,
}
_MANDARIN_TEMPLATES = """
    {人}{时}{买}{物}。|{人}在{处}{走}。|{景}{好}。|{时}，{人}在{处}{走}。|{人}想去{处}{走}吗？|
    因为{因}，所以{人}没有来。|请把{物}放在{处}。|{人}觉得{景}{好}。|你知道{物}在哪儿吗？|
    {景}真的{好}，对不对？|{人}和{人}一起去{处}。|别忘了带{物}！|{人}说{因}。|{时}{景}{好}！|
    {人}为什么{买}{物}？
"""

FEWEST_WORDS, MOST_WORDS = 3, 12
_SLOT = re.compile(r"\{(\w+)\}")


def sentence(language: str, rng: random.Random) -> str:
    """Make up one sentence: of 3 to 12 words in English, or Mandarin where that is asked for."""
    if language == "zh":
        return _fill(_choices(_MANDARIN_TEMPLATES), _MANDARIN_WORDS, rng)
    templates = _choices(_ENGLISH_TEMPLATES)
    while True:
        text = _fill(templates, _ENGLISH_WORDS, rng)
        words = text.split()
        if FEWEST_WORDS <= len(words) <= MOST_WORDS:
            return text[0].upper() + text[1:]


def _fill(templates: list[str], words: dict[str, str], rng: random.Random) -> str:
    """Draw a template, and a word for each of its slots."""

    def draw_word(slot: re.Match[str]) -> str:
        choices = _choices(words[slot[1]])
        return rng.choice(choices)

    template = rng.choice(templates)
    return _SLOT.sub(draw_word, template)


def _choices(listed: str) -> list[str]:
    """Split a list at its bars; line breaks in an entry are spaces."""
    choices = []
    for choice in listed.split("|"):
        words = choice.split()
        choices.append(" ".join(words))
    return choices
