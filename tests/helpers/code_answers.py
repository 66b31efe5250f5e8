"""Answers that are code, in many languages."""

CODE = {
    "python function": (
        "def greet(name):\n    # say hello\n    return f'Hello {name}'\n\nprint(greet('Ann'))"
    ),
    "python one line": 'print("I wish for rain")',
    "python comments first": (
        "# Load the data\n# and clean it\n\nimport pandas as pd\n\ndf = pd.read_csv('a.csv')\n"
        "# drop gaps\ndf = df.dropna()"
    ),
    "python class with docstring": (
        'class Cat:\n    """A small animal.\n\n    It sleeps a lot.\n    """\n\n'
        "    def __init__(self, name):\n        self.name = name\n\n    def nap(self):\n"
        "        pass"
    ),
    "python loop": (
        "total = 0\nfor n in numbers:\n    if n % 2 == 0:\n        total += n\n    else:\n"
        "        continue\nprint(total)"
    ),
    "python try": (
        "try:\n    with open(path) as file:\n        text = file.read()\n"
        "except OSError as error:\n    print(error)\nfinally:\n    done = True"
    ),
    "python dictionary": (
        'menu = {\n    "soup": 4,\n    "bread": 2,\n}\nfor dish, price in menu.items():\n'
        "    print(dish, price)"
    ),
    "python assignments of text": (
        'idea_1 = "Read a book."\nidea_2 = "Call a friend."\nidea_3 = "Take a walk."'
    ),
    "python decorator": (
        "@app.route('/')\ndef index():\n    user = request.args.get('user')\n"
        "    return render(user)"
    ),
    "python fenced with a sentence around it": (
        "Sure, try this:\n\n```python\nimport random\n\nideas = ['walk', 'read']\n"
        "print(random.choice(ideas))\n```\n\nHave fun!"
    ),
    "python in a block without a language": (
        "```\nimport os\nfor name in os.listdir('.'):\n    print(name)\n```"
    ),
    "python in a block that is never closed": (
        "Here is what I would do.\n```python\ndef run():\n    while True:\n        step()\n"
        "        wait(1)"
    ),
    "python after a plain sentence": (
        "Here's a script for you:\n\nimport time\n\ndef tick():\n    time.sleep(1)\n"
        "    return 'tick'"
    ),
    "python with a long comment": (
        "# This program asks for a name.\n# Then it prints a greeting.\n# It is short.\n"
        "name = input('Name? ')\nprint('Hello ' + name)"
    ),
    "python lambda and comprehension": (
        "squares = [n * n for n in range(10)]\neven = list(filter(lambda n: n % 2 == 0, squares))"
    ),
    "javascript": (
        "const ideas = ['walk', 'read'];\n\nfunction pick(list) {\n  // at random\n"
        "  return list[Math.floor(Math.random() * list.length)];\n}\n\n"
        "console.log(pick(ideas));"
    ),
    "javascript promise": (
        "fetch('/api/users')\n  .then((reply) => reply.json())\n  .then((users) => {\n"
        "    show(users);\n  })\n  .catch(console.error);"
    ),
    "javascript express": (
        "const express = require('express');\nconst app = express();\n\n"
        "app.get('/', (req, res) => {\n  res.send('Hi');\n});\n\napp.listen(3000);"
    ),
    "javascript fenced": "```js\nlet n = 3;\nwhile (n > 0) {\n  n--;\n}\n```",
    "typescript": (
        "interface User {\n  name: string;\n  age: number;\n}\n\n"
        "export const greet = (user: User): string => {\n  return `Hello ${user.name}`;\n};"
    ),
    "react": (
        "import React from 'react';\n\nexport default function App() {\n  return (\n"
        '    <div className="app">\n      <h1>Hello</h1>\n    </div>\n  );\n}'
    ),
    "c": (
        "#include <stdio.h>\n\nint main(void) {\n    int n = 3;\n    /* count\n       down */\n"
        '    while (n > 0) {\n        printf("%d\\n", n--);\n    }\n    return 0;\n}'
    ),
    "c macro and struct": (
        "#define MAX 10\n\nstruct point {\n    int x;\n    int y;\n};\n\n"
        "void move(struct point *p) {\n    p->x += 1;\n}"
    ),
    "c++": (
        "#include <iostream>\nusing namespace std;\n\nint main() {\n"
        "    for (int i = 0; i < 3; i++) {\n        cout << i << endl;\n    }\n}"
    ),
    "sql select": "SELECT name, age\nFROM users\nWHERE age > 30\nORDER BY name;",
    "sql table": (
        "CREATE TABLE users (\n    id SERIAL PRIMARY KEY,\n    name VARCHAR(50),\n"
        "    born DATE\n);\n\nINSERT INTO users (name) VALUES ('Ann');"
    ),
    "sql in lower case": ("select * from orders where paid = 0;\ndelete from orders where id = 3;"),
    "sql update": (
        "-- close old accounts\nUPDATE accounts\nSET active = 0\nWHERE last_seen < '2020-01-01';"
    ),
    "html": (
        "<!DOCTYPE html>\n<html>\n<head>\n  <title>Hello</title>\n</head>\n<body>\n"
        "  <h1>Ideas</h1>\n  <p>Take a walk.</p>\n</body>\n</html>"
    ),
    "html list": "<ul>\n  <li>Read a book</li>\n  <li>Call a friend</li>\n</ul>",
    "html fenced with prose": (
        'This page would do:\n```html\n<form action="/go">\n  <input name="q">\n'
        "  <button>Go</button>\n</form>\n```\nOpen it in a browser."
    ),
    "css": "body {\n  margin: 0;\n  font-family: serif;\n}\n\n.card:hover {\n  color: #fff;\n}",
    "css with media query": (
        "/* small screens */\n@media (max-width: 600px) {\n  .menu { display: none; }\n"
        "  .main {\n    width: 100%;\n  }\n}"
    ),
    "shell script": (
        "#!/bin/bash\n# back up the notes\nset -e\nfor file in *.txt; do\n"
        '  cp "$file" backup/\ndone\necho "done"'
    ),
    "shell commands": (
        "sudo apt-get update\nsudo apt-get install -y nginx\nsudo systemctl start nginx"
    ),
    "shell conditions": ("if [ -f notes.txt ]; then\n  cat notes.txt\nelse\n  touch notes.txt\nfi"),
    "shell fenced": "Run these:\n\n```bash\nmkdir notes\ncd notes\ngit init\n```",
    "java": (
        "import java.util.List;\n\npublic class Main {\n    private int count;\n\n"
        '    @Override\n    public String toString() {\n        return "Main";\n    }\n\n'
        '    public static void main(String[] args) {\n        System.out.println("Hello");\n'
        "    }\n}"
    ),
    "java method": (
        "public List<String> names() {\n    List<String> found = new ArrayList<>();\n"
        '    found.add("Ann");\n    return found;\n}'
    ),
    "rust": (
        "use std::io;\n\nfn main() {\n    let mut line = String::new();\n"
        "    io::stdin().read_line(&mut line).unwrap();\n    match line.trim() {\n"
        '        "a" => println!("one"),\n        _ => println!("other"),\n    }\n}'
    ),
    "rust struct": (
        "pub struct Point {\n    x: f64,\n    y: f64,\n}\n\nimpl Point {\n"
        "    pub fn new(x: f64, y: f64) -> Self {\n        Point { x, y }\n    }\n}"
    ),
    "go": (
        'package main\n\nimport "fmt"\n\nfunc main() {\n\tfor i := 0; i < 3; i++ {\n'
        "\t\tfmt.Println(i)\n\t}\n}"
    ),
    "ruby": (
        "class Dog\n  def initialize(name)\n    @name = name\n  end\n\n  def bark\n"
        "    puts \"Woof\"\n  end\nend\n\nDog.new('Rex').bark"
    ),
    "php": "<?php\n$name = $_GET['name'];\nif ($name) {\n    echo \"Hello $name\";\n}\n?>",
    "r": "x <- c(1, 2, 3)\ny <- mean(x)\nprint(y)",
    "dockerfile": (
        "FROM python:3.11\nWORKDIR /app\nCOPY . /app\nRUN pip install flask\n"
        'CMD ["python", "app.py"]'
    ),
    "code with two short remarks": (
        "First the import.\n\nimport math\nradius = float(input())\n"
        "area = math.pi * radius ** 2\nprint(area)\n\nThat is all."
    ),
}
