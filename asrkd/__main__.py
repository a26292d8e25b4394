from asrkd.cli import main

main()
