import json
import sys

print(json.dumps({"answer": 42, "modules": "zlib" in sys.builtin_module_names}))
