"""What the signs of arithmetic are called, in the languages whose reader does not know them.

Names of currencies, inches, feet and degrees are CLDR's, by Babel.
"""

from __future__ import annotations

from collections.abc import Mapping

SIGNS = "−±≥≤×÷"

_NAMES = {
    "en": "minus | plus or minus | greater than or equal to | less than or equal to"
    " | times | divided by",
    "zh": "负 | 正负 | 大于等于 | 小于等于 | 乘 | 除以",
    "af": "minus | plus of minus | groter of gelyk aan | kleiner of gelyk aan | maal | gedeel deur",
    "ar": "ناقص | زائد أو ناقص | أكبر من أو يساوي | أصغر من أو يساوي | ضرب | قسمة",
    "az": "mənfi | üstəgəl minus | böyük və ya bərabər | kiçik və ya bərabər | vurulsun | bölünsün",
    "be": "мінус | плюс мінус | больш або роўна | менш або роўна | памножыць на | падзяліць на",
    "bg": "минус | плюс минус | по-голямо или равно на | по-малко или равно на | по | делено на",
    "bn": "মাইনাস | প্লাস মাইনাস | এর চেয়ে বড় বা সমান | এর চেয়ে ছোট বা সমান | গুণ | ভাগ",
    "bs": "minus | plus minus | veće ili jednako | manje ili jednako | puta | podijeljeno s",
    "ca": "menys | més o menys | més gran o igual a | més petit o igual a | per | dividit per",
    "cs": "minus | plus minus | větší nebo rovno | menší nebo rovno | krát | děleno",
    "cy": "minws | plws neu minws | mwy na neu hafal i | llai na neu hafal i"
    " | wedi'i luosi â | wedi'i rannu â",
    "da": "minus | plus minus | større end eller lig med | mindre end eller lig med"
    " | gange | divideret med",
    "de": "minus | plus minus | größer oder gleich | kleiner oder gleich | mal | geteilt durch",
    "el": "μείον | συν πλην | μεγαλύτερο ή ίσο με | μικρότερο ή ίσο με | επί | διά",
    "eo": "minus | plus aŭ minus | pli granda aŭ egala al | malpli granda aŭ egala al"
    " | oble | dividite per",
    "es": "menos | más o menos | mayor o igual que | menor o igual que | por | dividido entre",
    "et": "miinus | pluss miinus | suurem või võrdne | väiksem või võrdne | korda | jagatud",
    "eu": "minus | gehi edo ken | handiagoa edo berdina | txikiagoa edo berdina | bider | zati",
    "fa": "منفی | مثبت منفی | بزرگتر یا مساوی | کوچکتر یا مساوی | ضربدر | تقسیم بر",
    "fi": "miinus | plus miinus | suurempi tai yhtä suuri kuin | pienempi tai yhtä suuri kuin"
    " | kertaa | jaettuna",
    "fr": "moins | plus ou moins | supérieur ou égal à | inférieur ou égal à | fois | divisé par",
    "ga": "lúide | móide nó lúide | níos mó ná nó cothrom le | níos lú ná nó cothrom le"
    " | faoi | roinnte ar",
    "gu": "માઈનસ | પ્લસ માઈનસ | થી મોટું અથવા સમાન | થી નાનું અથવા સમાન | ગુણ્યા | ભાગ્યા",
    "he": "מינוס | פלוס מינוס | גדול או שווה | קטן או שווה | כפול | חלקי",
    "hi": "माइनस | प्लस माइनस | से बड़ा या बराबर | से छोटा या बराबर | गुणा | भाग",
    "hr": "minus | plus minus | veće ili jednako | manje ili jednako | puta | podijeljeno s",
    "hu": "mínusz | plusz mínusz | nagyobb vagy egyenlő | kisebb vagy egyenlő | szor | osztva",
    "hy": "մինուս | պլյուս մինուս | մեծ կամ հավասար | փոքր կամ հավասար | անգամ | բաժանած",
    "id": "minus | plus minus | lebih besar atau sama dengan | lebih kecil atau sama dengan"
    " | kali | dibagi",
    "is": "mínus | plús mínus | stærra en eða jafnt og | minna en eða jafnt og"
    " | sinnum | deilt með",
    "it": "meno | più o meno | maggiore o uguale a | minore o uguale a | per | diviso",
    "ja": "マイナス | プラスマイナス | いじょう | いか | かける | わる",
    "ka": "მინუს | პლუს მინუს | მეტი ან ტოლი | ნაკლები ან ტოლი | გამრავლებული | გაყოფილი",
    "kk": "минус | плюс минус | үлкен немесе тең | кіші немесе тең | көбейту | бөлу",
    "kn": "ಮೈನಸ್ | ಪ್ಲಸ್ ಮೈನಸ್ | ಹೆಚ್ಚು ಅಥವಾ ಸಮ | ಕಡಿಮೆ ಅಥವಾ ಸಮ | ಗುಣಿಸು | ಭಾಗಿಸು",
    "ko": "마이너스 | 플러스 마이너스 | 이상 | 이하 | 곱하기 | 나누기",
    "lt": "minus | plius minus | daugiau arba lygu | mažiau arba lygu | kart | padalinta iš",
    "lv": "mīnus | plus mīnus | lielāks vai vienāds ar | mazāks vai vienāds ar | reiz | dalīts ar",
    "mk": "минус | плус минус | поголемо или еднакво на | помало или еднакво на | по | поделено со",
    "ml": "മൈനസ് | പ്ലസ് മൈനസ് | കൂടുതലോ തുല്യമോ | കുറവോ തുല്യമോ | ഗുണം | ഹരണം",
    "mr": "उणे | अधिक उणे | पेक्षा मोठे किंवा समान | पेक्षा लहान किंवा समान | गुणिले | भागिले",
    "ms": "minus | plus minus | lebih besar atau sama dengan | lebih kecil atau sama dengan"
    " | kali | dibahagi",
    "nb": "minus | pluss minus | større enn eller lik | mindre enn eller lik | ganger | delt på",
    "ne": "माइनस | प्लस माइनस | भन्दा ठूलो वा बराबर | भन्दा सानो वा बराबर | गुणा | भाग",
    "nl": "min | plus of min | groter dan of gelijk aan | kleiner dan of gelijk aan"
    " | keer | gedeeld door",
    "pa": "ਮਾਈਨਸ | ਪਲੱਸ ਮਾਈਨਸ | ਤੋਂ ਵੱਡਾ ਜਾਂ ਬਰਾਬਰ | ਤੋਂ ਛੋਟਾ ਜਾਂ ਬਰਾਬਰ | ਗੁਣਾ | ਭਾਗ",
    "pl": "minus | plus minus | większe lub równe | mniejsze lub równe | razy | podzielić przez",
    "pt": "menos | mais ou menos | maior ou igual a | menor ou igual a | vezes | dividido por",
    "ro": "minus | plus minus | mai mare sau egal cu | mai mic sau egal cu | ori | împărțit la",
    "ru": "минус | плюс-минус | больше или равно | меньше или равно | умножить на | разделить на",
    "sk": "mínus | plus mínus | väčšie alebo rovné | menšie alebo rovné | krát | delené",
    "sl": "minus | plus minus | večje ali enako | manjše ali enako | krat | deljeno",
    "sq": "minus | plus minus | më i madh ose i barabartë me | më i vogël ose i barabartë me"
    " | herë | pjesëtuar me",
    "sr": "минус | плус минус | веће или једнако | мање или једнако | пута | подељено са",
    "sv": "minus | plus minus | större än eller lika med | mindre än eller lika med"
    " | gånger | delat med",
    "sw": "hasi | jumlisha au toa | kubwa kuliko au sawa na | ndogo kuliko au sawa na"
    " | mara | gawanya kwa",
    "ta": "கழித்தல் | கூட்டல் கழித்தல் | குறைந்தது | அதிகபட்சம் | பெருக்கல் | வகுத்தல்",
    "te": "మైనస్ | ప్లస్ మైనస్ | ఎక్కువ లేదా సమానం | తక్కువ లేదా సమానం | గుణకారం | భాగహారం",
    "th": "ลบ | บวกลบ | มากกว่าหรือเท่ากับ | น้อยกว่าหรือเท่ากับ | คูณ | หาร",
    "tr": "eksi | artı eksi | büyük eşittir | küçük eşittir | çarpı | bölü",
    "uk": "мінус | плюс-мінус | більше або дорівнює | менше або дорівнює | помножити на"
    " | поділити на",
    "ur": "منفی | جمع منفی | بڑا یا برابر | چھوٹا یا برابر | ضرب | تقسیم",
    "uz": "minus | plyus minus | katta yoki teng | kichik yoki teng | karra | boʻlinadi",
    "vi": "âm | cộng trừ | lớn hơn hoặc bằng | nhỏ hơn hoặc bằng | nhân | chia",
}

CURRENCIES = {
    "€": "EUR",
    "$": "USD",
    "£": "GBP",
    "¥": "JPY",
    "₩": "KRW",
    "₹": "INR",
    "₽": "RUB",
    "₴": "UAH",
    "₺": "TRY",
    "₫": "VND",
    "₪": "ILS",
    "₦": "NGN",
    "₱": "PHP",
    "฿": "THB",
}
"""ISO 4217's codes of signs. ₿ has none: it is a word of its own in all languages."""

ENGLISH_CURRENCIES = {
    "₩": "won",
    "₹": "rupees",
    "₽": "rubles",
    "₴": "hryvnias",
    "₺": "lira",
    "₫": "dong",
    "₪": "shekels",
    "₦": "naira",
    "₱": "pesos",
    "฿": "baht",
    "₿": "bitcoin",
}
"""Those that the English grammar does not know."""

CHINESE_CURRENCIES = {"₩": "韩元", "₹": "卢比", "₽": "卢布", "₫": "越南盾", "₿": "比特币"}


def names_of_signs(language: str) -> Mapping[str, str]:
    """Return the names of :data:`SIGNS` in a language (``de``), empty where none are known."""
    row = _NAMES.get(language)
    if row is None:
        return {}
    names = [name.strip() for name in row.split("|")]
    return dict(zip(SIGNS, names, strict=True))
